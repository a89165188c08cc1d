# A person applies this part once, and again when rights change: APIs, identities, roles and grants, and the
# storage that exists before the functions. The module prestream needs no right to change any of it.

module "settings" {
  source = "../settings"

  cluster_projects = var.cluster_projects
  project_id       = var.project_id
  settings         = var.settings
}

data "google_project" "main" {
  project_id = var.project_id
}

data "google_project" "mirrors" {
  project_id = module.settings.mirrors_project
}

locals {
  # Google's own identities, which act for us. The resource that would make them is in google-beta
  # only; they come with the first topic and the first repository.
  # https://docs.cloud.google.com/iam/docs/service-agents
  pubsub_agent            = "serviceAccount:service-${data.google_project.main.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  artifact_registry_agent = "serviceAccount:service-${data.google_project.mirrors.number}@gcp-sa-artifactregistry.iam.gserviceaccount.com"
}
