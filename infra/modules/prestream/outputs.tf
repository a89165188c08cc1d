output "dry_run" {
  description = "Whether decisions are only logged, without changes."
  value       = module.settings.settings.dry_run
}

output "facts_bucket" {
  description = "The log bucket with the facts."
  value       = google_logging_project_bucket_config.facts.id
}

output "references_topic" {
  description = "The topic to which a reference is published by hand."
  value       = google_pubsub_topic.main[local.references].id
}

output "searched_projects" {
  description = "The projects whose clusters are watched."
  value       = module.settings.searched_projects
}

output "service_accounts" {
  description = "E-mail addresses of the functions' identities, for the overlays of infra/kubernetes."
  value       = { for name in keys(local.functions) : name => local.accounts[name] }
}

output "subscriptions" {
  description = "Subscriptions by function, for a replay."
  value       = { for name, function in module.functions : name => function.subscription }
}

output "watched_clusters" {
  description = "The clusters that the settings name; empty for auto."
  value       = module.settings.listed_clusters
}
