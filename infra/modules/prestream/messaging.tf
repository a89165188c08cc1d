# Topics of this project by their name, and Google's topics of other projects as PROJECT/TOPIC.

locals {
  # Written out here, since the clients and the sandbox have these names as well.
  dead_letters = "prestream-dead-letters"
  references   = "prestream-image-references"

  _topics = merge(
    { for function in local.functions : function.topic => { project = var.project_id, name = function.topic } },
    merge([
      for function, projects in local._further_projects : {
        for project in setsubtract(projects, [var.project_id]) :
        "${project}/${local.functions[function].topic}" => { project = project, name = local.functions[function].topic }
      }
    ]...),
  )
  topic_ids = merge(
    { for key, topic in local._topics : key => "projects/${topic.project}/topics/${topic.name}" if contains(var.existing_topics, key) },
    { for key, topic in google_pubsub_topic.main : key => topic.id },
    # The module bootstrap creates it.
    { (local.dead_letters) = "projects/${var.project_id}/topics/${local.dead_letters}" },
  )

  # Whether this deployment created a topic that existing_topics lists.
  _is_ours = {
    for key, topic in data.google_pubsub_topic.existing : key =>
    try(topic.labels.app, "") == "prestream" && try(topic.labels.prestream-project, topic.project) == var.project_id
  }

  message_retention = "${var.message_retention_days * 24 * 60 * 60}s"

  # Google's own identity, which delivers for us. https://docs.cloud.google.com/iam/docs/service-agents
  pubsub_agent = "serviceAccount:service-${data.google_project.main.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

data "google_project" "main" {
  project_id = var.project_id
}

# Terraform shows the first line with an error of the API, such as a conflict.
resource "google_pubsub_topic" "main" { # If it exists already, run: TF_VAR_existing_topics='["gcr"]' make deploy, with each name that failed.
  for_each = { for key, topic in local._topics : key => topic if lookup(local._is_ours, key, true) }

  project      = each.value.project
  name         = each.value.name
  kms_key_name = each.value.project == var.project_id ? var.kms_key : null
  labels       = merge(local.labels, { prestream-project = var.project_id })
}

# A topic that Terraform created does not become an existing one: it stays in the map above, since leaving it would delete
# the topic, and the plan fails with the commands that hand it over.
data "google_pubsub_topic" "existing" {
  for_each = { for key, topic in local._topics : key => topic if contains(var.existing_topics, key) }

  project = each.value.project
  name    = each.value.name

  lifecycle {
    postcondition {
      condition     = try(self.labels.app, "") != "prestream" || try(self.labels.prestream-project, self.project) != var.project_id
      error_message = <<-EOT
        Prestream created the topic ${each.key}, and would delete it when it is removed. To use it as an existing one, run these commands, and apply again:
          terraform -chdir=infra state rm 'module.prestream.google_pubsub_topic.main["${each.key}"]'
          gcloud pubsub topics update ${each.value.name} --project=${each.value.project} --remove-labels=app,prestream-project
      EOT
    }
  }
}

# Without a subscription a dead-letter topic keeps nothing. Nobody pulls from this one but a person:
# docs/operations.md says how.
resource "google_pubsub_subscription" "dead_letters" {
  project                    = var.project_id
  name                       = local.dead_letters
  topic                      = local.topic_ids[local.dead_letters]
  labels                     = local.labels
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic_iam_member" "dead_letters" {
  project = var.project_id
  topic   = local.topic_ids[local.dead_letters]
  role    = "roles/pubsub.publisher"
  member  = local.pubsub_agent
}

resource "google_pubsub_topic_iam_member" "functions" {
  for_each = merge([
    for name, function in local.functions : {
      for topic in function.publishes_to : "${topic}/${name}" => { topic = topic, function = name }
    }
  ]...)

  project = var.project_id
  topic   = google_pubsub_topic.main[each.value.topic].id
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:${local.accounts[each.value.function]}"
}
