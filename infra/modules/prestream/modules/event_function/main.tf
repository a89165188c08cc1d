# A function that the messages of topics invoke. It uses explicit push subscriptions instead of Eventarc, so that filter,
# backoff, retention and dead letters are in one place. Its identity exists already.

resource "google_storage_bucket_object" "archive" {
  count = var.archive.path == null ? 0 : 1

  bucket = var.archive.bucket
  # Named for its content, so a function is rebuilt only if its archive changed.
  name   = "${var.name}-${try(filemd5(var.archive.path), "missing")}.zip"
  source = var.archive.path

  lifecycle {
    precondition {
      condition     = fileexists(var.archive.path)
      error_message = "The archive ${var.archive.path} does not exist: run make archives first."
    }
  }
}

resource "google_cloudfunctions2_function" "main" {
  project      = var.project_id
  location     = var.location
  name         = var.name
  description  = var.description
  kms_key_name = var.kms_key
  labels       = var.labels

  build_config {
    runtime           = var.runtime
    entry_point       = var.entry_point
    docker_repository = var.build.docker_repository
    service_account   = var.build.service_account
    source {
      storage_source {
        bucket = var.archive.bucket
        object = try(google_storage_bucket_object.archive[0].name, var.archive.object)
      }
    }
  }

  service_config {
    service_account_email = var.service_account
    environment_variables = var.environment

    available_cpu                    = var.limits.cpu
    available_memory                 = var.limits.memory
    max_instance_count               = var.limits.max_instances
    max_instance_request_concurrency = var.limits.concurrency
    min_instance_count               = 0
    timeout_seconds                  = var.limits.timeout_s

    # Pub/Sub of the same project counts as internal at the default run.app address; nothing else
    # has any business here. https://docs.cloud.google.com/run/docs/securing/ingress
    ingress_settings = "ALLOW_INTERNAL_ONLY"

    vpc_connector                 = var.vpc_connector
    vpc_connector_egress_settings = var.vpc_connector == null ? null : "PRIVATE_RANGES_ONLY"
  }
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  project  = var.project_id
  location = var.location
  name     = google_cloudfunctions2_function.main.name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${var.trigger.invoker_email}"
}

resource "google_pubsub_subscription" "main" {
  for_each = var.trigger.topics

  project = var.project_id
  name    = each.key == "main" ? var.name : "${var.name}-${each.key}"
  topic   = each.value
  filter  = var.trigger.filter
  labels  = var.labels

  # For a push subscription, this is also the time that Pub/Sub waits for the answer.
  ack_deadline_seconds       = var.limits.timeout_s
  message_retention_duration = var.trigger.retention
  # Keep acknowledged messages, so that messages rejected by a bug can be replayed after the fix.
  retain_acked_messages = true

  push_config {
    push_endpoint = google_cloudfunctions2_function.main.service_config[0].uri
    oidc_token {
      service_account_email = var.trigger.invoker_email
      audience              = google_cloudfunctions2_function.main.service_config[0].uri
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = var.trigger.dead_letter_topic
    max_delivery_attempts = var.trigger.max_delivery_attempts
  }

  # Do not expire after weeks without a message.
  expiration_policy {
    ttl = ""
  }

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}

# Pub/Sub acknowledges a message here once it is a dead letter.
resource "google_pubsub_subscription_iam_member" "dead_letters" {
  for_each = google_pubsub_subscription.main

  project      = var.project_id
  subscription = each.value.name
  role         = "roles/pubsub.subscriber"
  member       = var.trigger.pubsub_agent
}

moved {
  from = google_pubsub_subscription.main
  to   = google_pubsub_subscription.main["main"]
}

moved {
  from = google_pubsub_subscription_iam_member.dead_letters
  to   = google_pubsub_subscription_iam_member.dead_letters["main"]
}

moved {
  from = google_storage_bucket_object.archive
  to   = google_storage_bucket_object.archive[0]
}
