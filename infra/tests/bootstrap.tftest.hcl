# What a person applies: identities, roles, grants and storage, with an inventory for each way to use it.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id            = "my-project"
  location              = "us-central1"
  node_service_accounts = ["nodes@my-project.iam.gserviceaccount.com"]
}

run "defaults" {
  command = apply

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  variables {
    node_service_accounts = null
  }

  expect_failures = [check.node_accounts]

  assert {
    condition = {
      accounts      = length(google_service_account.functions)
      apis          = length(google_project_service.main)
      grants        = length(google_project_iam_member.functions)
      nodes         = length(google_project_iam_member.nodes)
      pipelines     = length(google_service_account.pipeline)
      pipeline_role = length(google_project_iam_custom_role.pipeline)
      roles         = length(google_project_iam_custom_role.main)
      secrets       = length(google_secret_manager_secret_iam_member.upstreams)
      warm_pools    = length(google_container_node_pool.warm_pool)
      } == {
      accounts      = 6
      apis          = 14
      grants        = 12
      nodes         = 2
      pipelines     = 0
      pipeline_role = 0
      roles         = 6
      secrets       = 0
      warm_pools    = 0
    }
    error_message = "The inventory of the defaults changed."
  }
  assert {
    condition     = length([for grant in local._grants : grant if contains(["audit_log", "build_notification", "registry_push"], grant.function)]) == 0
    error_message = "Detectors need no role of a project."
  }
  assert {
    condition     = google_project_iam_custom_role.main["my-project/images"].permissions == toset(["artifactregistry.repositories.downloadArtifacts"])
    error_message = "Where the ladder has no prewarm-api, nobody may prewarm."
  }
  assert {
    condition     = toset(output.node_service_accounts) == toset(["123456789012-compute@developer.gserviceaccount.com"])
    error_message = "Nodes of clusters that are found use the project's default account, and must be able to pull from the mirrors."
  }
}

run "pipeline" {
  command = apply

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  variables {
    pipeline = {}
  }

  assert {
    condition = {
      act_as  = length(google_service_account_iam_member.pipeline)
      buckets = length(google_storage_bucket.state)
      folders = length(google_folder_iam_member.pipeline) + length(google_organization_iam_member.pipeline)
      grants  = length(google_project_iam_member.pipeline)
      objects = length(google_storage_bucket_iam_member.pipeline_archives) + length(google_storage_bucket_iam_member.pipeline_state) + length(google_storage_bucket_iam_member.pipeline_list)
      sources = length(google_project_iam_member.pipeline_sources)
      } == {
      act_as  = 8
      buckets = 1
      folders = 0
      grants  = 1
      objects = 3
      sources = 1
    }
    error_message = "The inventory of the pipeline changed."
  }
  assert {
    condition     = output.pipeline_state == { bucket = "my-project-prestream-state", prefix = "prestream" }
    error_message = "The pipeline keeps its state in a bucket of its own."
  }
  assert {
    condition     = length([for permission in google_project_iam_custom_role.pipeline["my-project"].permissions : permission if can(regex("^(iam\\.|resourcemanager\\.projects\\.setIamPolicy|storage\\.|secretmanager\\.)", permission))]) == 0
    error_message = "The pipeline must not have rights on identities, roles, projects or secrets."
  }
}

run "pipeline_with_a_bucket" {
  command = apply

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  variables {
    pipeline = { state_bucket = "states" }
  }

  assert {
    condition     = length(google_storage_bucket.state) == 0 && google_storage_bucket_iam_member.pipeline_state["main"].bucket == "states"
    error_message = "A bucket that is named is used, and not made."
  }
  assert {
    condition     = google_storage_bucket_iam_member.pipeline_state["main"].condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/states/objects/prestream/\")"
    error_message = "The pipeline may not change the state with its own rights."
  }
}

run "pipeline_of_several_projects" {
  command = plan

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  variables {
    build_projects    = ["ci-1"]
    mirrors           = { locations = ["us"] }
    pipeline          = {}
    registry_projects = ["registry-1"]
    settings          = { project = "images-1", projects = ["team-b"] }
  }

  assert {
    condition     = { for project, role in google_project_iam_custom_role.pipeline : project => length(role.permissions) if project != "my-project" && project != "team-b" } == { ci-1 = 5, images-1 = 4, registry-1 = 5 }
    error_message = "The pipeline manages topics and mirrors of other projects, and nothing else there."
  }
  assert {
    condition     = contains(google_project_iam_custom_role.pipeline["team-b"].permissions, "logging.sinks.create") && !contains(google_project_iam_custom_role.pipeline["team-b"].permissions, "pubsub.topics.create")
    error_message = "The pipeline manages sinks in the projects of clusters."
  }
}

run "pipeline_of_a_folder" {
  command = plan

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  variables {
    pipeline   = {}
    settings   = { projects = ["team-b"] }
    sink_scope = { folder = "123456" }
  }

  assert {
    condition     = google_folder_iam_member.pipeline["main"].folder == "123456" && google_folder_iam_member.pipeline["main"].role == "roles/logging.configWriter"
    error_message = "The pipeline manages the folder's sinks."
  }
  assert {
    condition     = !contains(google_project_iam_custom_role.pipeline["team-b"].permissions, "logging.sinks.create")
    error_message = "With a folder, projects have no sinks."
  }
}

run "pipeline_of_an_organization" {
  command = apply

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  variables {
    pipeline   = {}
    sink_scope = { organization = "654321" }
  }

  assert {
    condition     = google_organization_iam_custom_role.pipeline["main"].permissions == toset(["logging.sinks.create", "logging.sinks.delete", "logging.sinks.get", "logging.sinks.update"]) && length(google_organization_iam_member.pipeline) == 1
    error_message = "The pipeline manages the organization's sinks, and nothing else there."
  }
}

run "several_projects" {
  command = apply

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  variables {
    build_projects        = ["ci-1"]
    image_projects        = ["images-2"]
    node_service_accounts = null
    registry_projects     = ["registry-1"]
    settings = {
      project  = "images-1"
      projects = ["team-b"]
      clusters = ["gpu", "projects/team-a/locations/us-east1/clusters/training"]
      upstreams = {
        "nvcr.io" = { username = "$oauthtoken", password_secret_version = "projects/secrets-1/secrets/ngc/versions/1", paths = ["nvidia/*"] }
      }
    }
  }

  expect_failures = [check.node_accounts]

  assert {
    condition = toset(keys(google_project_iam_custom_role.main)) == toset([
      "images-1/images", "images-1/mirror_states", "images-1/mirrors",
      "ci-1/images", "images-2/images", "my-project/images", "registry-1/images",
      "my-project/cluster_access", "team-a/cluster_access", "team-b/cluster_access",
      "my-project/cluster_list", "team-b/cluster_list",
      "my-project/facts",
    ])
    error_message = "Each role is in the projects that it is for."
  }
  assert {
    condition     = toset(keys(google_secret_manager_secret_iam_member.upstreams)) == toset(["projects/secrets-1/secrets/ngc"])
    error_message = "Artifact Registry must be able to read the password of an upstream."
  }
  assert {
    condition     = toset(output.node_service_accounts) == toset(["123456789012-compute@developer.gserviceaccount.com", "gpu-nodes@my-project.iam.gserviceaccount.com"])
    error_message = "Accounts of a cluster's pools, and the default one, must be able to pull from the mirrors."
  }
  assert {
    condition     = alltrue([for grant in google_project_iam_member.nodes : grant.project == "images-1"])
    error_message = "Nodes pull from the mirrors' project."
  }
}

run "accounts_of_listed_clusters" {
  command = plan

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  variables {
    node_service_accounts = null
    settings              = { clusters = ["projects/my-project/locations/us-central1/clusters/gpu"] }
  }

  assert {
    condition     = toset(output.node_service_accounts) == toset(["123456789012-compute@developer.gserviceaccount.com", "gpu-nodes@my-project.iam.gserviceaccount.com"])
    error_message = "The accounts of a cluster's pools must be able to pull from the mirrors."
  }
}

run "accounts_of_autopilot" {
  command = plan

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  variables {
    node_service_accounts = null
    settings              = { clusters = ["projects/my-project/locations/us-central1/clusters/auto"] }
  }

  override_data {
    target = data.google_container_cluster.main["projects/my-project/locations/us-central1/clusters/auto"]
    values = {
      cluster_autoscaling = [{ auto_provisioning_defaults = [{ service_account = "auto@my-project.iam.gserviceaccount.com" }], enabled = false }]
      enable_autopilot    = true
      node_locations      = ["us-central1-a"]
      node_pool           = []
    }
  }

  assert {
    condition     = output.node_service_accounts == tolist(["auto@my-project.iam.gserviceaccount.com"])
    error_message = "The account of Autopilot's nodes must be able to pull from the mirrors."
  }
}

run "listed_node_accounts" {
  command = plan

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  assert {
    condition     = { for key, grant in google_project_iam_member.nodes : grant.role => grant.member } == { for role in ["roles/artifactregistry.reader", "roles/serviceusage.serviceUsageConsumer"] : role => "serviceAccount:nodes@my-project.iam.gserviceaccount.com" }
    error_message = "Nodes must be able to pull, and to stream."
  }
}

run "prewarming" {
  command = plan

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  variables {
    settings = { ladder = ["prewarm-api", "any-node"] }
  }

  assert {
    condition     = contains(google_project_iam_custom_role.main["my-project/images"].permissions, "artifactregistry.repositories.prewarmArtifact")
    error_message = "Where the ladder has prewarm-api, functions must be allowed to prewarm."
  }
}

run "mirrors_in_advance" {
  command = plan

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  variables {
    mirrors = { locations = ["us"], on_demand = false }
  }

  assert {
    condition     = google_project_iam_custom_role.main["my-project/mirrors"].permissions == toset(["artifactregistry.repositories.get"])
    error_message = "Where all mirrors are there, nothing of ours needs to make one."
  }
}

run "warm_pool" {
  command = plan

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  variables {
    warm_pool = { cluster = "projects/my-project/locations/us-central1/clusters/gpu" }
  }

  assert {
    condition     = google_container_node_pool.warm_pool["main"].node_config[0].gcfs_config[0].enabled && google_container_node_pool.warm_pool["main"].node_config[0].spot
    error_message = "The pool must stream, and be cheap."
  }
  assert {
    condition     = google_container_node_pool.warm_pool["main"].autoscaling[0].total_min_node_count == 0 && google_container_node_pool.warm_pool["main"].initial_node_count == 0
    error_message = "The pool starts from zero."
  }
  assert {
    condition     = google_container_node_pool.warm_pool["main"].node_config[0].service_account == "gpu-nodes@my-project.iam.gserviceaccount.com" && contains(output.node_service_accounts, "gpu-nodes@my-project.iam.gserviceaccount.com")
    error_message = "The pool must be able to pull what the nodes with accelerators pull."
  }
}

run "warm_pool_that_is_never_empty" {
  command = plan

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  variables {
    warm_pool = {
      cluster         = "projects/my-project/locations/us-central1/clusters/gpu"
      min_nodes       = 1
      service_account = "warm@my-project.iam.gserviceaccount.com"
    }
  }

  assert {
    condition     = google_container_node_pool.warm_pool["main"].initial_node_count == 1 && google_container_node_pool.warm_pool["main"].node_locations == toset(["us-central1-a"])
    error_message = "One node is one node, whatever number of zones the cluster has."
  }
  assert {
    condition     = google_container_node_pool.warm_pool["main"].node_config[0].service_account == "warm@my-project.iam.gserviceaccount.com" && contains(output.node_service_accounts, "warm@my-project.iam.gserviceaccount.com")
    error_message = "An account that is named is used, and may pull from the mirrors."
  }
}

run "warm_pool_on_autopilot_is_refused" {
  command = plan

  module {
    source = "./modules/prestream/modules/bootstrap"
  }

  variables {
    warm_pool = { cluster = "projects/my-project/locations/us-central1/clusters/auto" }
  }

  override_data {
    target = data.google_container_cluster.main["projects/my-project/locations/us-central1/clusters/auto"]
    values = {
      cluster_autoscaling = []
      enable_autopilot    = true
      node_locations      = ["us-central1-a"]
      node_pool           = []
    }
  }

  expect_failures = [google_container_node_pool.warm_pool]
}
