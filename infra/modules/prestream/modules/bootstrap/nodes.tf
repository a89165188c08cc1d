# Nodes pull from the mirrors as their own service accounts. Streaming counts against the quota of
# the image's project, which needs a separate right.
# https://docs.cloud.google.com/kubernetes-engine/docs/how-to/image-streaming

locals {
  _clusters = {
    for name in setunion(
      var.node_service_accounts == null ? [for name in module.settings.listed_clusters : name if startswith(name, "projects/")] : [],
      var.warm_pool == null ? [] : [var.warm_pool.cluster],
      ) : name => {
      project  = split("/", name)[1]
      location = split("/", name)[3]
      cluster  = split("/", name)[5]
    }
  }

  # A cluster that is found by its project, or listed by its short name, cannot be read here. Unless accounts are listed,
  # its nodes are expected to use GKE's default account.
  _has_found_clusters = length(module.settings.listed_clusters) == 0 || anytrue([
    for name in module.settings.listed_clusters : !startswith(name, "projects/")
  ])
  _default_projects = var.node_service_accounts == null && local._has_found_clusters ? setunion(
    module.settings.searched_projects, var.cluster_projects,
  ) : toset([])

  # The accounts of each cluster's pools; nodes of Autopilot, and pools that the autoscaler adds, use the second.
  _pool_accounts = {
    for name, cluster in data.google_container_cluster.main : name => distinct(concat(
      flatten([for pool in cluster.node_pool : [for node in pool.node_config : coalesce(node.service_account, "default")]]),
      flatten([
        for scaling in cluster.cluster_autoscaling : [
          for defaults in scaling.auto_provisioning_defaults : coalesce(defaults.service_account, "default")
          if cluster.enable_autopilot || scaling.enabled
        ]
      ]),
    ))
  }

  node_accounts = setunion(
    coalesce(var.node_service_accounts, []),
    [for project in local._default_projects : local._default_accounts[project]],
    flatten([
      for name, accounts in local._pool_accounts : [
        for account in accounts : account == "default" ? local._default_accounts[local._clusters[name].project] : account
      ] if var.node_service_accounts == null
    ]),
    [for pool in local._warm_pools : pool.account == "default" ? local._default_accounts[pool.project] : pool.account],
  )

  # https://docs.cloud.google.com/compute/docs/access/service-accounts#default_service_account
  _default_accounts = {
    for project, data in data.google_project.nodes : project => "${data.number}-compute@developer.gserviceaccount.com"
  }
}

data "google_project" "nodes" {
  for_each = setunion(local._default_projects, [for cluster in local._clusters : cluster.project])

  project_id = each.value
}

data "google_container_cluster" "main" {
  for_each = local._clusters

  project  = each.value.project
  location = each.value.location
  name     = each.value.cluster
}

resource "google_project_iam_member" "nodes" {
  for_each = {
    for pair in setproduct(
      local.node_accounts,
      ["roles/artifactregistry.reader", "roles/serviceusage.serviceUsageConsumer"],
    ) : "${pair[0]} ${pair[1]}" => { email = pair[0], role = pair[1] }
  }

  project = module.settings.mirrors_project
  role    = each.value.role
  member  = "serviceAccount:${each.value.email}"

  # The default account of a new project comes with the API.
  depends_on = [google_project_service.main]
}

check "node_accounts" {
  assert {
    condition     = length(local._default_projects) == 0
    error_message = <<-EOT
      Clusters of these projects are found at run time, so only the default Compute Engine account of each may pull from the mirrors: ${join(", ", local._default_projects)}. To see the accounts of their nodes:
        gcloud container clusters list --project=PROJECT --format='value(name,nodePools[].config.serviceAccount)'
      To grant what pulls need, or to confirm the default ("default" is PROJECT_NUMBER-compute@developer.gserviceaccount.com), list them and apply again:
        node_service_accounts = ["ACCOUNT"]
    EOT
  }
}
