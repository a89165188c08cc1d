# One small machine whose nodes stream, for warmups alone. The streaming cache is the region's, so
# what this node pulls starts fast on the nodes with accelerators as well.

locals {
  _warm_pools = var.warm_pool == null ? {} : { main = merge(var.warm_pool, {
    project  = split("/", var.warm_pool.cluster)[1]
    location = split("/", var.warm_pool.cluster)[3]
    cluster  = split("/", var.warm_pool.cluster)[5]
  }) }
}

resource "google_service_account" "warm_pool" {
  for_each = local._warm_pools

  project      = each.value.project
  account_id   = "prestream-warm-pool"
  display_name = "Prestream: nodes of the warm pool"
}

resource "google_project_iam_member" "warm_pool_node" {
  for_each = local._warm_pools

  project = each.value.project
  role    = "roles/container.defaultNodeServiceAccount"
  member  = google_service_account.warm_pool[each.key].member
}

resource "google_project_iam_member" "warm_pool_images" {
  for_each = {
    for role in ["roles/artifactregistry.reader", "roles/serviceusage.serviceUsageConsumer"] : role => role
    if var.warm_pool != null
  }

  project = local.mirrors_project
  role    = each.value
  member  = google_service_account.warm_pool["main"].member
}

resource "google_container_node_pool" "warm_pool" {
  for_each = local._warm_pools

  project  = each.value.project
  location = each.value.location
  cluster  = each.value.cluster
  name     = "prestream-warm"

  initial_node_count = each.value.min_nodes

  # Total counts are for the pool as a whole; the plain ones would be for each of its zones.
  autoscaling {
    total_min_node_count = each.value.min_nodes
    total_max_node_count = each.value.max_nodes
    location_policy      = "ANY"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  node_config {
    machine_type    = each.value.machine_type
    disk_size_gb    = each.value.disk_size_gb
    disk_type       = "pd-balanced"
    image_type      = "COS_CONTAINERD"
    spot            = true
    service_account = google_service_account.warm_pool[each.key].email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    labels          = { "prestream.dev/warmup" = "true" }

    gcfs_config {
      enabled = true
    }
    shielded_instance_config {
      enable_integrity_monitoring = true
      enable_secure_boot          = true
    }
    taint {
      key    = "prestream.dev/warmup"
      value  = "true"
      effect = "NO_SCHEDULE"
    }
    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }

  lifecycle {
    # The autoscaler's.
    ignore_changes = [initial_node_count]
  }
}
