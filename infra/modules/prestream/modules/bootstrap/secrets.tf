locals {
  # Secrets by their name without a version: projects/P/secrets/S.
  _secrets = toset([
    for upstream in module.settings.upstreams : join("/", slice(split("/", upstream.password_secret_version), 0, 4))
    if upstream.password_secret_version != null
  ])
}

# Artifact Registry logs in upstream by itself. Prestream may not read a secret, and Terraform's state
# does not contain one.
resource "google_secret_manager_secret_iam_member" "upstreams" {
  for_each = local._secrets

  project   = split("/", each.value)[1]
  secret_id = split("/", each.value)[3]
  role      = "roles/secretmanager.secretAccessor"
  member    = local.artifact_registry_agent

  # The agent exists once a repository exists.
  depends_on = [google_artifact_registry_repository.functions]
}
