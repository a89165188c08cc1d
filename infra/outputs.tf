output "dry_run" {
  description = "Whether decisions are only logged, without changes."
  value       = module.prestream.dry_run
}

output "facts_bucket" {
  description = "The log bucket with the facts."
  value       = module.prestream.facts_bucket
}

output "references_topic" {
  description = "The topic to which a reference is published by hand."
  value       = module.prestream.references_topic
}

output "searched_projects" {
  description = "The projects whose clusters are watched, separated by spaces."
  value       = join(" ", module.prestream.searched_projects)
}

output "service_accounts" {
  description = "E-mail addresses of the functions' identities, for the overlays of infra/kubernetes."
  value       = module.prestream.service_accounts
}

output "subscriptions" {
  description = "Subscriptions by function, for a replay."
  value       = module.prestream.subscriptions
}

output "watched_clusters" {
  description = "The clusters that the configuration names, separated by spaces; empty for auto."
  value       = join(" ", module.prestream.watched_clusters)
}
