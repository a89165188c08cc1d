# What the variables and the configuration change.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id = "my-project"
  location   = "us-central1"
}

run "configuration_in_other_projects" {
  command = plan

  variables {
    config_file = "tests/configurations/several-projects.yaml"
  }

  assert {
    condition     = local.cluster_projects == toset(["my-project", "team-a", "team-b"])
    error_message = "Projects of clusters that are listed by their full name, and those that are looked through, must be read."
  }
  assert {
    condition     = local.roles.cluster_list.projects == toset(["my-project", "team-b"])
    error_message = "Clusters are looked for in the projects that the configuration names."
  }
  assert {
    condition     = contains(keys(google_logging_project_sink.main), "team-a/prestream-audit")
    error_message = "The logs of a watched cluster's project must be read."
  }
  assert {
    condition     = contains(keys(google_project_iam_custom_role.main), "images-1/mirrors") && !contains(keys(google_project_iam_custom_role.main), "my-project/mirrors")
    error_message = "Mirrors are made in their own project only."
  }
  assert {
    condition     = toset(keys(google_secret_manager_secret_iam_member.upstreams)) == toset(["projects/secrets-1/secrets/ngc"])
    error_message = "Artifact Registry must be able to read the password of an upstream."
  }
  assert {
    condition     = output.watched_clusters == "gpu projects/team-a/locations/us-east1/clusters/training"
    error_message = "The pipeline must learn which clusters are watched."
  }
}

run "prewarming" {
  command = plan

  variables {
    config_file = "tests/configurations/prewarming.yaml"
  }

  assert {
    condition     = contains(google_project_iam_custom_role.main["my-project/images"].permissions, "artifactregistry.repositories.prewarmArtifact")
    error_message = "Where the ladder has prewarm-api, functions must be allowed to prewarm."
  }
}

run "empty_configuration" {
  command = plan

  variables {
    config_file = "tests/configurations/empty.yaml"
  }

  assert {
    condition     = local.settings.namespace == "prestream" && !output.dry_run
    error_message = "An empty file means all defaults."
  }
  assert {
    condition     = google_project_iam_custom_role.main["my-project/images"].permissions == toset(["artifactregistry.repositories.downloadArtifacts"])
    error_message = "Where the ladder has no prewarm-api, nobody may prewarm."
  }
}

run "unknown_keys_are_refused" {
  command = plan

  variables {
    config_file = "tests/configurations/misspelt.yaml"
  }

  expect_failures = [output.references_topic]
}

run "mirrors_in_advance" {
  command = plan

  variables {
    mirrors = { locations = ["us"], on_demand = false }
  }

  assert {
    condition     = google_artifact_registry_repository.mirrors["us/docker.io"].repository_id == "dockerhub-mirror"
    error_message = "Docker Hub's mirror must have the name that the functions know."
  }
  assert {
    condition     = google_artifact_registry_repository.mirrors["us/docker.io"].remote_repository_config[0].docker_repository[0].public_repository == "DOCKER_HUB"
    error_message = "Docker Hub is mirrored by its preset."
  }
  assert {
    condition     = google_artifact_registry_repository.mirrors["us/registry.k8s.io"].remote_repository_config[0].common_repository[0].uri == "https://registry.k8s.io"
    error_message = "Other upstreams are mirrored by their address."
  }
  assert {
    condition     = join(",", local.roles.mirrors.permissions) == "artifactregistry.repositories.get"
    error_message = "Where all mirrors are there, nothing of ours needs to make one."
  }
}

run "folder_instead_of_projects" {
  command = plan

  variables {
    sink_scope = { folder = "123456" }
  }

  assert {
    condition     = length(google_logging_project_sink.main) == 0 && length(google_logging_folder_sink.main) == 2
    error_message = "One sink of a kind reads the whole folder."
  }
  assert {
    condition     = alltrue([for sink in google_logging_folder_sink.main : sink.include_children])
    error_message = "The logs lie in the folder's projects."
  }
}

run "folder_and_organisation_are_refused" {
  command = plan

  variables {
    sink_scope = { folder = "123456", organization = "654321" }
  }

  expect_failures = [var.sink_scope]
}

run "topics_that_are_there_already" {
  command = plan

  variables {
    existing_topics = ["cloud-builds"]
  }

  assert {
    condition     = !contains(keys(google_pubsub_topic.main), "cloud-builds") && contains(keys(google_pubsub_topic.main), "gcr")
    error_message = "A topic of somebody else's is used, and not made."
  }
}

run "warm_pool" {
  command = plan

  variables {
    warm_pool = { cluster = "projects/my-project/locations/us-central1/clusters/gpu" }
  }

  assert {
    condition     = google_container_node_pool.warm_pool["main"].node_config[0].gcfs_config[0].enabled && google_container_node_pool.warm_pool["main"].node_config[0].spot
    error_message = "The pool must stream, and be cheap."
  }
  assert {
    condition     = google_container_node_pool.warm_pool["main"].autoscaling[0].total_min_node_count == 0
    error_message = "The pool starts from zero."
  }
}

run "keys_of_ones_own" {
  command = plan

  variables {
    kms_key = "projects/my-project/locations/us-central1/keyRings/ring/cryptoKeys/key"
  }

  assert {
    condition     = alltrue([for topic in google_pubsub_topic.main : topic.kms_key_name == var.kms_key])
    error_message = "Messages must be encrypted by the key."
  }
  assert {
    condition     = google_logging_project_bucket_config.facts.location == "us-central1" && google_logging_project_bucket_config.facts.cmek_settings[0].kms_key_name == var.kms_key
    error_message = "Facts must be encrypted by the key, and so lie where it lies."
  }
}

run "key_of_another_place_is_refused" {
  command = plan

  variables {
    kms_key = "projects/my-project/locations/europe-west4/keyRings/ring/cryptoKeys/key"
  }

  expect_failures = [var.kms_key]
}

run "no_alerts" {
  command = plan

  variables {
    alerts = { enabled = false }
  }

  assert {
    condition     = length(google_monitoring_alert_policy.metrics) == 0 && length(google_monitoring_alert_policy.lines) == 0
    error_message = "Alert policies must be gone where they are turned off."
  }
}

run "nodes_with_an_account_of_their_own" {
  command = plan

  variables {
    node_service_accounts = ["nodes@my-project.iam.gserviceaccount.com"]
  }

  assert {
    condition     = toset([for grant in google_project_iam_member.nodes : grant.role]) == toset(["roles/artifactregistry.reader", "roles/serviceusage.serviceUsageConsumer"])
    error_message = "Nodes must be able to pull, and to stream."
  }
}

run "pipeline" {
  command = apply

  variables {
    pipeline = { state_bucket = "my-project-prestream-state" }
  }

  assert {
    condition     = !strcontains(google_project_iam_member.pipeline_grants["main"].condition[0].expression, "projectIamAdmin")
    error_message = "The pipeline must not be able to grant its own rights."
  }
}
