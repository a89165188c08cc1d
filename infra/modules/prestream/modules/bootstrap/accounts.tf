# Each function has an identity of its own.
resource "google_service_account" "functions" {
  for_each = local.function_roles

  project      = var.project_id
  account_id   = "prestream-${replace(each.key, "_", "-")}"
  display_name = "Prestream: function prestream-${replace(each.key, "_", "-")}"

  depends_on = [google_project_service.main]
}

# The one identity that may call the functions. Pub/Sub signs its pushes in its name.
resource "google_service_account" "invoker" {
  project      = var.project_id
  account_id   = "prestream-invoker"
  display_name = "Prestream: delivers messages to the functions"

  depends_on = [google_project_service.main]
}

# Pub/Sub's own role has this in projects made since April 2021; in older ones it does not.
resource "google_service_account_iam_member" "invoker" {
  service_account_id = google_service_account.invoker.name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = local.pubsub_agent

  # Pub/Sub's agent exists once a topic exists.
  depends_on = [google_pubsub_topic.dead_letters]
}

# Builds the functions' images, in place of the default identity of Compute Engine, which may do far
# more. https://docs.cloud.google.com/functions/docs/securing/build-custom-sa
resource "google_service_account" "builder" {
  project      = var.project_id
  account_id   = "prestream-builder"
  display_name = "Prestream: builds the functions"

  depends_on = [google_project_service.main]
}

resource "google_project_iam_member" "builder" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.builder.member
}

resource "google_project_iam_member" "builder_sources" {
  project = var.project_id
  role    = "roles/storage.objectViewer"
  member  = google_service_account.builder.member

  condition {
    title       = "Sources of functions"
    description = "Cloud Functions copies an archive to a bucket of its own before it is built."
    expression  = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${data.google_project.main.number}-\")"
  }
}
