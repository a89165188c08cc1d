# The settings as the functions read them, and what Terraform derives from them. `make schema` writes
# defaults.json from the functions' own settings.

locals {
  _defaults = jsondecode(file("${path.module}/defaults.json"))

  settings = merge(
    { for key, value in local._defaults : key => value if value != null },
    { for key, value in var.settings : key => value if value != null },
  )

  unknown = setsubtract(keys(var.settings), keys(local._defaults))

  # The mirrors are in the project of the functions, unless the file names another.
  mirrors_project = try(local.settings.project, var.project_id)

  # "auto" means the clusters of the functions' project and of those in `projects`; a list may name
  # others by their full name.
  listed_clusters = try(tolist(local.settings.clusters), [])
  cluster_projects = setunion(
    [var.project_id],
    var.cluster_projects,
    local.settings.projects,
    [for name in local.listed_clusters : split("/", name)[1] if startswith(name, "projects/")],
  )

  # An upstream without details is null.
  upstreams = {
    for host, upstream in local.settings.upstreams : host => {
      repository = coalesce(
        try(upstream.repository, null),
        host == "docker.io" ? "dockerhub-mirror" : "${local._repository_ids[host]}-mirror",
      )
      password_secret_version = try(upstream.password_secret_version, null)
      # Null for Docker Hub, of which Artifact Registry has a preset.
      uri      = host == "docker.io" ? try(upstream.uri, null) : coalesce(try(upstream.uri, null), "https://${host}")
      username = try(upstream.username, null)
      mirror   = try(upstream.mirror, "always")
    }
  }

  # As shared/domain/mirror.py makes them: letters, digits and hyphens, a letter first, and
  # room for the suffix in the 63 characters that Artifact Registry accepts.
  _hosts = {
    for host in keys(local.settings.upstreams) : host => trim(replace(lower(host), "/[^a-z0-9]+/", "-"), "-")
  }
  _repository_ids = {
    for host, text in local._hosts : host => trimsuffix(
      substr(can(regex("^[a-z]", text)) ? text : "r-${text}", 0, 56), "-"
    )
  }
}
