output "node_service_accounts" {
  description = "The accounts of nodes that may pull and stream from the mirrors; list others in the variable of this name."
  value       = module.bootstrap.node_service_accounts
}

output "pipeline_state" {
  description = "The bucket and the prefix of the pipeline's state; null without a pipeline."
  value       = module.bootstrap.pipeline_state
}

output "service_accounts" {
  description = "E-mail addresses of the functions' identities, for the overlays of infra/kubernetes."
  value       = module.bootstrap.service_accounts
}
