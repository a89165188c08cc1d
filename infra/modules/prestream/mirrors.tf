# Mirrors that are created in advance. They equal those of the function image_reference, including
# label and description, so that the function manages them as its own.
locals {
  _mirrors = {
    for pair in setproduct(var.mirrors.locations, keys(module.settings.upstreams)) :
    "${pair[0]}/${pair[1]}" => { location = pair[0], host = pair[1], upstream = module.settings.upstreams[pair[1]] }
    if module.settings.upstreams[pair[1]].mirror != "never"
  }
}

resource "google_artifact_registry_repository" "mirrors" {
  for_each = local._mirrors

  project       = module.settings.mirrors_project
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
      older_than = "${module.settings.settings.cleanup_days * 24 * 60 * 60}s"
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
}
