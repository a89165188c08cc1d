output "dry_run" {
  description = "Whether decisions are only logged, without changes."
  value       = local.settings.dry_run
}

output "facts_bucket" {
  description = "The log bucket with the facts."
  value       = google_logging_project_bucket_config.facts.id
}

output "references_topic" {
  description = "The topic to which a reference is published by hand."
  value       = google_pubsub_topic.main[local.references].id

  precondition {
    condition     = length(local.unknown_settings) == 0
    error_message = "Unknown keys in the configuration: ${join(", ", local.unknown_settings)}. docs/configuration.md lists the keys."
  }
}

output "searched_projects" {
  description = "The projects whose clusters are watched, separated by spaces."
  value       = join(" ", local.roles.cluster_list.projects)
}

output "service_accounts" {
  description = "E-mail addresses of the functions' identities, for the overlays of infra/kubernetes."
  value       = { for name, function in module.functions : name => function.service_account.email }
}

output "subscriptions" {
  description = "Subscriptions by function, for a replay."
  value       = { for name, function in module.functions : name => function.subscription }
}

output "watched_clusters" {
  description = "The clusters that the configuration names, separated by spaces; empty for auto."
  value       = join(" ", local._listed_clusters)
}
