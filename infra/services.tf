# Left on when Prestream is removed: whether something else needs an API cannot be seen from here.
resource "google_project_service" "main" {
  for_each = toset([
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "container.googleapis.com",
    "containerfilesystem.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
  ])

  project            = var.project_id
  service            = each.value
  disable_on_destroy = false
}

data "google_project" "main" {
  project_id = var.project_id
}

data "google_project" "mirrors" {
  project_id = local.mirrors_project
}

locals {
  # Google's own identities, which act for us. The resource that would make them is in google-beta
  # only; they come with the first topic and the first repository.
  # https://docs.cloud.google.com/iam/docs/service-agents
  pubsub_agent            = "serviceAccount:service-${data.google_project.main.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  artifact_registry_agent = "serviceAccount:service-${data.google_project.mirrors.number}@gcp-sa-artifactregistry.iam.gserviceaccount.com"
}
