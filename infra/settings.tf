# The one configuration file, as the functions read it. Defaults come from the JSON Schema that is
# generated from the functions' own settings, so that neither reader has a list of its own.

locals {
  _schema = jsondecode(file("${path.module}/../docs/prestream.schema.json"))
  _text   = file(coalesce(var.config_file, "${path.module}/../prestream.yaml"))

  # yamldecode refuses a document of comments only, which is how the file is delivered.
  _is_empty = length(regexall("(?m)^[ \\t]*[^ \\t\\r\\n#]", local._text)) == 0
  _document = merge({}, yamldecode(local._is_empty ? "{}" : local._text))

  settings = merge(
    { for key, property in local._schema.properties : key => property.default if can(property.default) },
    { for key, value in local._document : key => value if value != null },
  )

  unknown_settings = setsubtract(keys(local._document), keys(local._schema.properties))

  # The mirrors are in the project of the functions, unless the file names another.
  mirrors_project = try(local.settings.project, var.project_id)

  # "auto" means the clusters of the functions' project and of those in `projects`; a list may name
  # others by their full name.
  _listed_clusters = try(tolist(local.settings.clusters), [])
  cluster_projects = setunion(
    [var.project_id],
    var.cluster_projects,
    local.settings.projects,
    [for name in local._listed_clusters : split("/", name)[1] if startswith(name, "projects/")],
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
