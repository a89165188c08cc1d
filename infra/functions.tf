# A function is an entry of this map: its folder under functions/, the topic that triggers it,
# and its rights. iam.tf gives it the roles that are named here, and the right to publish to the topics.

locals {
  functions = {
    audit_log = {
      description   = "Finds the images of workloads in GKE's audit log, and publishes references to them."
      topic         = "prestream-audit"
      filter        = null
      publishes_to  = ["prestream-image-references"]
      roles         = []
      max_instances = 10
      timeout_s     = 60
    }
    build_notification = {
      description   = "Publishes references to the images that a build of Cloud Build pushed."
      topic         = "cloud-builds"
      filter        = "attributes.status = \"SUCCESS\""
      publishes_to  = ["prestream-image-references"]
      roles         = []
      max_instances = 3
      timeout_s     = 60
    }
    image_reference = {
      description   = "Creates the mirror and the warmup Job for a reference."
      topic         = "prestream-image-references"
      filter        = null
      publishes_to  = ["prestream-image-references"]
      roles         = ["cluster_access", "cluster_list", "facts", "images", "mirrors"]
      max_instances = 5
      timeout_s     = 60
    }
    pull_event = {
      description   = "Writes the reports of nodes and Jobs as facts."
      topic         = "prestream-gke-events"
      filter        = null
      publishes_to  = []
      roles         = ["cluster_access", "facts"]
      max_instances = 10
      timeout_s     = 60
    }
    registry_push = {
      description   = "Publishes a reference to an image that was pushed to Artifact Registry."
      topic         = "gcr"
      filter        = null
      publishes_to  = ["prestream-image-references"]
      roles         = []
      max_instances = 3
      timeout_s     = 60
    }
    scheduled_sweep = {
      description   = "Keeps images in use warm, and repairs the effects of lost events."
      topic         = "prestream-schedule"
      filter        = null
      publishes_to  = ["prestream-image-references", "prestream-schedule"]
      roles         = ["cluster_access", "cluster_list", "facts", "images", "mirror_states"]
      max_instances = 3
      # It reads a whole cluster, page by page.
      timeout_s = 540
    }
  }

  archives_folder = coalesce(var.archives_folder, "${path.module}/../build/functions")
}

module "functions" {
  source   = "./modules/event_function"
  for_each = local.functions

  name        = "prestream-${replace(each.key, "_", "-")}"
  description = each.value.description
  project_id  = var.project_id
  location    = var.location
  archive = {
    bucket = google_storage_bucket.archives.name
    path   = "${local.archives_folder}/${each.key}.zip"
  }
  build = {
    docker_repository = google_artifact_registry_repository.functions.id
    service_account   = google_service_account.builder.id
  }
  deployers   = { for key, account in google_service_account.pipeline : key => account.member }
  entry_point = "handle_${each.key}"
  environment = {
    GOOGLE_CLOUD_PROJECT = var.project_id
  }
  kms_key = var.kms_key
  limits = {
    max_instances = each.value.max_instances
    timeout_s     = each.value.timeout_s
  }
  runtime = var.runtime
  trigger = {
    topic             = local.topic_ids[each.value.topic]
    filter            = each.value.filter
    dead_letter_topic = google_pubsub_topic.main[local.dead_letters].id
    invoker_email     = google_service_account.invoker.email
    pubsub_agent      = local.pubsub_agent
    retention         = local.message_retention
  }
  vpc_connector = var.vpc_connector

  # The first build of a function fails if its builder does not have its rights yet.
  depends_on = [
    google_artifact_registry_repository_iam_member.builder,
    google_project_iam_member.builder,
    google_project_iam_member.builder_sources,
    google_service_account_iam_member.invoker,
  ]
}

# `make archives` writes the archives, and the tests and the sandbox run the same ones, so the uploaded
# archives are tested. Their bytes depend only on their content.
resource "google_storage_bucket" "archives" {
  name                        = "${var.project_id}-prestream-functions"
  location                    = var.location
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

# Builds the functions' images, in place of the default identity of Compute Engine, which may do far
# more. https://docs.cloud.google.com/functions/docs/securing/build-custom-sa
resource "google_service_account" "builder" {
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
