output "cluster_projects" {
  description = "The projects that may have watched clusters."
  value       = local.cluster_projects
}

output "listed_clusters" {
  description = "The clusters that the settings name; empty for auto."
  value       = local.listed_clusters
}

output "mirrors_project" {
  description = "The project of the mirrors."
  value       = local.mirrors_project
}

output "searched_projects" {
  description = "The projects in which clusters are looked for."
  value       = setunion([var.project_id], local.settings.projects)
}

output "settings" {
  description = "The value of each key, the default where the settings do not have it."
  value       = local.settings

  precondition {
    condition     = length(local.unknown) == 0
    error_message = "Unknown keys in the configuration: ${join(", ", local.unknown)}. docs/configuration.md lists the keys."
  }
}

output "upstreams" {
  description = "The mirrored registries, by host: repository, address, user name and secret."
  value       = local.upstreams
}
