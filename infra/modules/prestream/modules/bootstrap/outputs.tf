output "node_service_accounts" {
  description = "The accounts of nodes that may pull and stream from the mirrors."
  value       = sort(local.node_accounts)
}

output "pipeline_state" {
  description = "The bucket and the prefix of the pipeline's state; null without a pipeline."
  value       = var.pipeline == null ? null : { bucket = local._state_bucket, prefix = "prestream" }
}

output "service_accounts" {
  description = "E-mail addresses of the functions' identities, for the overlays of infra/kubernetes."
  value       = { for name, account in google_service_account.functions : name => account.email }
}
