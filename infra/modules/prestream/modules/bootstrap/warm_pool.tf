# One small machine whose nodes stream, for warmups alone. The streaming cache is the region's, so
# images that this node pulls start fast on the nodes with accelerators as well. A person creates it, because the right
# to add nodes includes the right to act as their service account.

locals {
  _warm_pools = var.warm_pool == null ? {} : { main = merge(var.warm_pool, local._clusters[var.warm_pool.cluster], {
    is_regional = !can(regex("-[a-z]$", local._clusters[var.warm_pool.cluster].location))
    # The nodes that the warmups prepare for can pull, so the same account can.
    account = coalesce(var.warm_pool.service_account, try(local._accelerator_accounts[0], null), "default")
    zones   = sort(data.google_container_cluster.main[var.warm_pool.cluster].node_locations)
  }) }

  _accelerator_accounts = var.warm_pool == null ? [] : sort(distinct(flatten([
    for pool in data.google_container_cluster.main[var.warm_pool.cluster].node_pool : [
      for node in pool.node_config : coalesce(node.service_account, "default")
      if try(length(node.guest_accelerator), 0) > 0 || can(regex("^(ct|tpu)[0-9]", node.machine_type))
    ]
  ])))
}

resource "google_container_node_pool" "warm_pool" {
  for_each = local._warm_pools

  project  = each.value.project
  location = each.value.location
  cluster  = each.value.cluster
  name     = "prestream-warm"

  # The initial count is for each zone, so nodes that are always there are in one zone.
  initial_node_count = each.value.min_nodes
  node_locations     = each.value.is_regional && each.value.min_nodes > 0 ? slice(each.value.zones, 0, 1) : null

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
    service_account = each.value.account
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

    precondition {
      condition     = !data.google_container_cluster.main[var.warm_pool.cluster].enable_autopilot
      error_message = "An Autopilot cluster has no node pools of its own: leave warm_pool out, and warmups run on ordinary nodes."
    }
  }

  depends_on = [google_project_iam_member.nodes]
}
