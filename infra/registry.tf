# The functions' images, so that they go with Prestream.
resource "google_artifact_registry_repository" "functions" {
  location      = var.location
  repository_id = "prestream-functions"
  description   = "Images of Prestream's functions."
  format        = "DOCKER"
  kms_key_name  = var.kms_key

  cleanup_policies {
    id     = "old-versions"
    action = "DELETE"
    condition {
      older_than = "2592000s"
    }
  }
  cleanup_policies {
    id     = "latest-versions"
    action = "KEEP"
    most_recent_versions {
      keep_count = 3
    }
  }

  depends_on = [google_project_service.main]
}

resource "google_artifact_registry_repository_iam_member" "builder" {
  location   = google_artifact_registry_repository.functions.location
  repository = google_artifact_registry_repository.functions.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.builder.member
}

# Mirrors that are created in advance. They equal those of the function image_reference, including
# label and description, so that the function manages them as its own.
locals {
  _mirrors = {
    for pair in setproduct(var.mirrors.locations, keys(local.upstreams)) :
    "${pair[0]}/${pair[1]}" => { location = pair[0], host = pair[1], upstream = local.upstreams[pair[1]] }
  }

  # Secrets by their name without a version: projects/P/secrets/S.
  _secrets = toset([
    for upstream in local.upstreams : join("/", slice(split("/", upstream.password_secret_version), 0, 4))
    if upstream.password_secret_version != null
  ])
}

resource "google_artifact_registry_repository" "mirrors" {
  for_each = local._mirrors

  project       = local.mirrors_project
  location      = each.value.location
  repository_id = each.value.upstream.repository
  description   = "Pull-through mirror of ${each.value.host}, made and used by Prestream."
  format        = "DOCKER"
  mode          = "REMOTE_REPOSITORY"
  labels        = { managed-by = "prestream" }

  remote_repository_config {
    description = "Pull-through mirror of ${each.value.host}, made and used by Prestream."

    dynamic "docker_repository" {
      for_each = each.value.upstream.uri == null ? ["DOCKER_HUB"] : []
      content {
        public_repository = docker_repository.value
      }
    }
    dynamic "common_repository" {
      for_each = each.value.upstream.uri == null ? [] : [each.value.upstream.uri]
      content {
        uri = common_repository.value
      }
    }
    dynamic "upstream_credentials" {
      for_each = each.value.upstream.password_secret_version == null ? [] : [each.value.upstream]
      content {
        username_password_credentials {
          username                = upstream_credentials.value.username
          password_secret_version = upstream_credentials.value.password_secret_version
        }
      }
    }
  }

  cleanup_policies {
    id     = "prestream-old-versions"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "${local.settings.cleanup_days * 24 * 60 * 60}s"
    }
  }
  # A later scale-up may need a version that the upstream no longer has.
  cleanup_policies {
    id     = "prestream-recent-versions"
    action = "KEEP"
    most_recent_versions {
      keep_count = 5
    }
  }

  depends_on = [google_project_service.main, google_secret_manager_secret_iam_member.upstreams]
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

# Nodes pull from the mirrors as their own service accounts. Streaming counts against the quota of
# the image's project, which needs a separate right.
# https://docs.cloud.google.com/kubernetes-engine/docs/how-to/image-streaming
resource "google_project_iam_member" "nodes" {
  for_each = {
    for pair in setproduct(
      var.node_service_accounts,
      ["roles/artifactregistry.reader", "roles/serviceusage.serviceUsageConsumer"],
    ) : "${pair[0]} ${pair[1]}" => { email = pair[0], role = pair[1] }
  }

  project = local.mirrors_project
  role    = each.value.role
  member  = "serviceAccount:${each.value.email}"
}
