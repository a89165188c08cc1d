# IAM roles of the functions. infra/kubernetes/ grants the rights inside clusters; the roles here only allow
# connecting. Detectors have none of these roles; they only publish.

locals {
  # The custom roles of each function. Terraform creates its service account here, and the function itself
  # in the module prestream.
  function_roles = {
    audit_log          = []
    build_notification = []
    image_reference    = ["cluster_access", "cluster_list", "facts", "images", "mirrors"]
    pull_event         = ["cluster_access", "facts"]
    registry_push      = []
    scheduled_sweep    = ["cluster_access", "cluster_list", "facts", "images", "mirror_states"]
  }

  roles = {
    cluster_access = {
      title       = "Prestream: cluster access"
      description = "Reads the address of a cluster, and connects to it; RBAC grants the rights there."
      permissions = ["container.clusters.connect", "container.clusters.get"]
      projects    = module.settings.cluster_projects
    }
    cluster_list = {
      title       = "Prestream: cluster list"
      description = "Lists the watched clusters."
      permissions = ["container.clusters.list"]
      projects    = module.settings.searched_projects
    }
    facts = {
      title       = "Prestream: facts"
      description = "Writes facts."
      permissions = ["logging.logEntries.create"]
      projects    = toset([var.project_id])
    }
    images = {
      title       = "Prestream: images"
      description = "Reads manifests from mirrors and repositories; prewarms images, if the ladder has the rung."
      # https://docs.cloud.google.com/artifact-registry/docs/prewarm-images#required-roles
      permissions = concat(
        ["artifactregistry.repositories.downloadArtifacts"],
        contains(module.settings.settings.ladder, "prewarm-api") ? [
          "artifactregistry.repositories.checkPrewarmedArtifact",
          "artifactregistry.repositories.listPrewarmedArtifacts",
          "artifactregistry.repositories.prewarmArtifact",
          "artifactregistry.repositories.removePrewarmedArtifact",
        ] : [],
      )
      projects = setunion(
        [module.settings.mirrors_project, var.project_id],
        var.build_projects, var.image_projects, var.registry_projects,
      )
    }
    mirror_states = {
      title       = "Prestream: states of mirrors"
      description = "Reads mirrors."
      permissions = ["artifactregistry.repositories.get"]
      projects    = toset([module.settings.mirrors_project])
    }
    mirrors = {
      title       = "Prestream: mirrors"
      description = "Reads mirrors, and creates missing ones."
      permissions = concat(
        ["artifactregistry.repositories.get"],
        var.mirrors.on_demand ? ["artifactregistry.repositories.create", "artifactregistry.repositories.update"] : [],
      )
      projects = toset([module.settings.mirrors_project])
    }
  }

  _project_roles = merge([
    for name, role in local.roles : {
      for project in role.projects : "${project}/${name}" => { project = project, role = name }
    }
  ]...)

  _grants = merge([
    for function, roles in local.function_roles : merge([
      for role in roles : {
        for project in local.roles[role].projects :
        "${project}/${role}/${function}" => { function = function, project_role = "${project}/${role}" }
      }
    ]...)
  ]...)
}

resource "google_project_iam_custom_role" "main" {
  for_each = local._project_roles

  project     = each.value.project
  role_id     = "prestream_${each.value.role}"
  title       = local.roles[each.value.role].title
  description = local.roles[each.value.role].description
  permissions = local.roles[each.value.role].permissions

  depends_on = [google_project_service.main]
}

resource "google_project_iam_member" "functions" {
  for_each = local._grants

  project = google_project_iam_custom_role.main[each.value.project_role].project
  role    = google_project_iam_custom_role.main[each.value.project_role].id
  member  = google_service_account.functions[each.value.function].member
}
