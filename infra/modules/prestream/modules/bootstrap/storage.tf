# `make archives` writes the archives, and the tests and the sandbox run the same ones, so the uploaded
# archives are tested. Their bytes depend only on their content.
resource "google_storage_bucket" "archives" {
  project                     = var.project_id
  name                        = "${var.project_id}-prestream-functions"
  location                    = var.location
  labels                      = var.labels
  force_destroy               = true
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_project_service.main]
}

# The functions' images, so that they go with Prestream.
resource "google_artifact_registry_repository" "functions" {
  project       = var.project_id
  location      = var.location
  repository_id = "prestream-functions"
  description   = "Images of Prestream's functions."
  format        = "DOCKER"
  kms_key_name  = var.kms_key
  labels        = var.labels

  cleanup_policies {
    id     = "old-versions"
    action = "DELETE"
    condition {
      older_than = "2592000s"
    }
  }
  cleanup_policies {
    id     = "latest-versions"
    action = "KEEP"
    most_recent_versions {
      keep_count = 3
    }
  }

  depends_on = [google_project_service.main]
}

resource "google_artifact_registry_repository_iam_member" "builder" {
  project    = var.project_id
  location   = google_artifact_registry_repository.functions.location
  repository = google_artifact_registry_repository.functions.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.builder.member
}

# The topic is here because it makes Google create Pub/Sub's agent, which is granted rights above.
resource "google_pubsub_topic" "dead_letters" {
  project      = var.project_id
  name         = "prestream-dead-letters"
  kms_key_name = var.kms_key
  labels       = var.labels

  depends_on = [google_project_service.main]
}
