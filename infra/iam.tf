# IAM roles of the functions. infra/kubernetes/ grants the rights inside clusters; the roles here only allow
# connecting. Detectors have none of these roles; they only publish.

locals {
  roles = {
    cluster_access = {
      title       = "Prestream: cluster access"
      description = "Reads the address of a cluster, and connects to it; RBAC grants the rights there."
      permissions = ["container.clusters.connect", "container.clusters.get"]
      projects    = local.cluster_projects
    }
    cluster_list = {
      title       = "Prestream: cluster list"
      description = "Lists the watched clusters."
      permissions = ["container.clusters.list"]
      projects    = setunion([var.project_id], local.settings.projects)
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
        contains(local.settings.ladder, "prewarm-api") ? [
          "artifactregistry.repositories.checkPrewarmedArtifact",
          "artifactregistry.repositories.listPrewarmedArtifacts",
          "artifactregistry.repositories.prewarmArtifact",
          "artifactregistry.repositories.removePrewarmedArtifact",
        ] : [],
      )
      projects = setunion([local.mirrors_project, var.project_id], var.image_projects)
    }
    mirror_states = {
      title       = "Prestream: states of mirrors"
      description = "Reads mirrors."
      permissions = ["artifactregistry.repositories.get"]
      projects    = toset([local.mirrors_project])
    }
    mirrors = {
      title       = "Prestream: mirrors"
      description = "Reads mirrors, and creates missing ones."
      permissions = concat(
        ["artifactregistry.repositories.get"],
        var.mirrors.on_demand ? ["artifactregistry.repositories.create", "artifactregistry.repositories.update"] : [],
      )
      projects = toset([local.mirrors_project])
    }
  }

  _project_roles = merge([
    for name, role in local.roles : {
      for project in role.projects : "${project}/${name}" => { project = project, role = name }
    }
  ]...)

  _grants = merge([
    for function, spec in local.functions : merge([
      for role in spec.roles : {
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
  member  = module.functions[each.value.function].service_account.member
}

resource "google_pubsub_topic_iam_member" "functions" {
  for_each = merge([
    for name, function in local.functions : {
      for topic in function.publishes_to : "${topic}/${name}" => { topic = topic, function = name }
    }
  ]...)

  topic  = google_pubsub_topic.main[each.value.topic].id
  role   = "roles/pubsub.publisher"
  member = module.functions[each.value.function].service_account.member
}
