locals {
  # Written out here, since the clients and the sandbox have these names as well.
  dead_letters = "prestream-dead-letters"
  references   = "prestream-image-references"

  _topics = setunion([for function in local.functions : function.topic], [local.dead_letters])
  topic_ids = merge(
    { for name, topic in google_pubsub_topic.main : name => topic.id },
    { for name in var.existing_topics : name => "projects/${var.project_id}/topics/${name}" },
  )

  message_retention = "${var.message_retention_days * 24 * 60 * 60}s"
}

resource "google_pubsub_topic" "main" {
  for_each = setsubtract(local._topics, var.existing_topics)

  name         = each.value
  kms_key_name = var.kms_key

  depends_on = [google_project_service.main]
}

# Without a subscription a dead-letter topic keeps nothing. Nobody pulls from this one but a person:
# docs/operations.md says how.
resource "google_pubsub_subscription" "dead_letters" {
  name                       = local.dead_letters
  topic                      = google_pubsub_topic.main[local.dead_letters].id
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic_iam_member" "dead_letters" {
  topic  = google_pubsub_topic.main[local.dead_letters].id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

# The one identity that may call the functions. Pub/Sub signs its pushes in its name.
resource "google_service_account" "invoker" {
  account_id   = "prestream-invoker"
  display_name = "Prestream: delivers messages to the functions"

  depends_on = [google_project_service.main]
}

# Pub/Sub's own role has this in projects made since April 2021; in older ones it does not.
resource "google_service_account_iam_member" "invoker" {
  service_account_id = google_service_account.invoker.name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = local.pubsub_agent

  depends_on = [google_pubsub_topic.main]
}
