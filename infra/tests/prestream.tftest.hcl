# What the module prestream makes: an inventory for each way to use it. modules/prestream/modules/event_function has
# tests of its own for the resources of one function.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id      = "my-project"
  location        = "us-central1"
  archives_folder = "../build/functions"
}

run "defaults" {
  # Mocked, so nothing is made; but what is known only after an apply is worked out as well.
  command = apply

  module {
    source = "./modules/prestream"
  }

  assert {
    condition = {
      alerts        = length(google_monitoring_alert_policy.metrics)
      counts        = length(google_logging_metric.counts)
      folder_sinks  = length(google_logging_folder_sink.main)
      functions     = length(module.functions)
      images        = length(google_logging_metric.images)
      line_alerts   = length(google_monitoring_alert_policy.lines)
      mirrors       = length(google_artifact_registry_repository.mirrors)
      organizations = length(google_logging_organization_sink.main)
      publishers    = length(google_pubsub_topic_iam_member.functions)
      sinks         = length(google_logging_project_sink.main)
      topics        = length(google_pubsub_topic.main)
      } == {
      alerts        = 6
      counts        = 4
      folder_sinks  = 0
      functions     = 6
      images        = 7
      line_alerts   = 2
      mirrors       = 0
      organizations = 0
      publishers    = 6
      sinks         = 2
      topics        = 6
    }
    error_message = "The inventory of the defaults changed."
  }
  assert {
    condition     = toset(keys(google_pubsub_topic.main)) == toset(["cloud-builds", "gcr", "prestream-audit", "prestream-gke-events", "prestream-image-references", "prestream-schedule"])
    error_message = "Each function needs its topic."
  }
  assert {
    condition     = toset(keys(google_logging_project_sink.main)) == toset(["my-project/prestream-audit", "my-project/prestream-gke-events"])
    error_message = "The logs of the functions' own project must be read."
  }
  assert {
    condition     = strcontains(google_logging_project_sink.main["my-project/prestream-audit"].filter, "/namespaces/(prestream|asm-system|")
    error_message = "What Prestream makes itself must never wake it."
  }
  assert {
    condition     = alltrue([for sink in google_logging_project_sink.main : !strcontains(sink.filter, "$${")])
    error_message = "No variable of a filter may be left as it is."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.functions["prestream-image-references/audit_log"].member == "serviceAccount:prestream-audit-log@my-project.iam.gserviceaccount.com"
    error_message = "Detectors must be able to publish references."
  }
  assert {
    condition     = { for key, grant in google_pubsub_topic_iam_member.sinks : key => grant.member } == { for key in keys(google_logging_project_sink.main) : key => "serviceAccount:service-123456789012@gcp-sa-logging.iam.gserviceaccount.com" }
    error_message = "Each sink must be able to publish."
  }
  assert {
    condition     = google_pubsub_subscription.dead_letters.message_retention_duration == "2678400s"
    error_message = "Dead letters must be kept as long as Pub/Sub can."
  }
  assert {
    condition     = { for tile in jsondecode(google_monitoring_dashboard.main.dashboard_json).mosaicLayout.tiles : tile.widget.title => [try(tile.xPos, null), try(tile.yPos, null)] if !can(tile.xPos) || !can(tile.yPos) } == { "Images in use, by state" = [null, null], "Images in use that went cold, by cluster" = [6, null], "Seconds of pulls by workloads, median, by verdict" = [null, 4], "Warmups an hour, by outcome" = [null, 8], "Deliveries an hour, by function and disposition" = [null, 12], "Facts that ask for something to be done" = [null, 16] }
    error_message = "A position of zero is left out, as the server does."
  }
}

run "all_options" {
  command = apply

  module {
    source = "./modules/prestream"
  }

  variables {
    alerts                 = { failed_warmups_an_hour = 2, notification_channels = ["projects/my-project/notificationChannels/1"] }
    facts                  = { analytics = true, retention_days = 30 }
    kms_key                = "projects/my-project/locations/us-central1/keyRings/ring/cryptoKeys/key"
    labels                 = { team = "ml" }
    message_retention_days = 3
    mirrors                = { locations = ["us"] }
    runtime                = "python314"
    settings               = { dry_run = true, ladder = ["prewarm-api", "any-node"] }
    sweep                  = { paused = true, schedule = "0 * * * *", time_zone = "Europe/Berlin" }
    vpc_connector          = "projects/my-project/locations/us-central1/connectors/c"
  }

  assert {
    condition = {
      alerts    = length(google_monitoring_alert_policy.metrics) + length(google_monitoring_alert_policy.lines)
      functions = length(module.functions)
      mirrors   = length(google_artifact_registry_repository.mirrors)
      sinks     = length(google_logging_project_sink.main)
      topics    = length(google_pubsub_topic.main)
      } == {
      alerts    = 8
      functions = 6
      mirrors   = 6
      sinks     = 2
      topics    = 6
    }
    error_message = "The inventory of all options changed."
  }
  assert {
    condition     = alltrue([for topic in google_pubsub_topic.main : topic.kms_key_name == var.kms_key && topic.labels == tomap({ app = "prestream", prestream-project = "my-project", team = "ml" })])
    error_message = "Messages must be encrypted by the key, and topics labelled."
  }
  assert {
    condition     = google_logging_project_bucket_config.facts.location == "us-central1" && google_logging_project_bucket_config.facts.cmek_settings[0].kms_key_name == var.kms_key
    error_message = "Facts must be encrypted by the key, and so lie where it lies."
  }
  assert {
    condition     = google_cloud_scheduler_job.sweep.paused && google_cloud_scheduler_job.sweep.time_zone == "Europe/Berlin"
    error_message = "The sweep follows its variable."
  }
  assert {
    condition     = output.dry_run
    error_message = "The settings must reach the outputs."
  }
}

run "mirrors_in_advance" {
  command = plan

  module {
    source = "./modules/prestream"
  }

  variables {
    mirrors = { locations = ["us"], on_demand = false }
    settings = {
      project = "images-1"
      upstreams = {
        "docker.io"       = null
        "registry.k8s.io" = null
        "nvcr.io"         = { username = "$oauthtoken", password_secret_version = "projects/secrets-1/secrets/ngc/versions/1", paths = ["nvidia/*"] }
      }
    }
  }

  assert {
    condition     = toset([for mirror in google_artifact_registry_repository.mirrors : "${mirror.project}/${mirror.location}/${mirror.repository_id}"]) == toset(["images-1/us/dockerhub-mirror", "images-1/us/nvcr-io-mirror", "images-1/us/registry-k8s-io-mirror"])
    error_message = "Mirrors must have the names that the functions know, in their project."
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
    condition     = google_artifact_registry_repository.mirrors["us/nvcr.io"].remote_repository_config[0].upstream_credentials[0].username_password_credentials[0].password_secret_version == "projects/secrets-1/secrets/ngc/versions/1"
    error_message = "An upstream with a login is mirrored with it."
  }
}

run "several_projects" {
  command = apply

  module {
    source = "./modules/prestream"
  }

  variables {
    build_projects    = ["ci-1"]
    registry_projects = ["registry-1", "my-project"]
    settings          = { projects = ["team-b"], clusters = ["gpu", "projects/team-a/locations/us-east1/clusters/training"] }
  }

  assert {
    condition     = toset(keys(google_logging_project_sink.main)) == toset(["my-project/prestream-audit", "my-project/prestream-gke-events", "team-a/prestream-audit", "team-a/prestream-gke-events", "team-b/prestream-audit", "team-b/prestream-gke-events"])
    error_message = "The logs of each project with watched clusters must be read."
  }
  assert {
    condition     = toset([for topic in google_pubsub_topic.main : "${topic.project}/${topic.name}" if contains(["cloud-builds", "gcr"], topic.name)]) == toset(["ci-1/cloud-builds", "my-project/cloud-builds", "my-project/gcr", "registry-1/gcr"])
    error_message = "Builds and pushes of a central project must be published."
  }
  assert {
    condition     = { for name, function in module.functions : name => function.subscriptions if length(function.subscriptions) > 1 } == { build_notification = { ci-1 = "prestream-build-notification-ci-1", main = "prestream-build-notification" }, registry_push = { main = "prestream-registry-push", registry-1 = "prestream-registry-push-registry-1" } }
    error_message = "Builds and pushes of a central project must reach the functions."
  }
}

run "folder" {
  command = apply

  module {
    source = "./modules/prestream"
  }

  variables {
    sink_scope = { folder = "123456" }
  }

  assert {
    condition     = length(google_logging_project_sink.main) == 0 && length(google_logging_organization_sink.main) == 0 && toset(keys(google_logging_folder_sink.main)) == toset(["prestream-audit", "prestream-gke-events"])
    error_message = "One sink of a kind reads the whole folder."
  }
  assert {
    condition     = alltrue([for sink in google_logging_folder_sink.main : sink.include_children && sink.folder == "123456"])
    error_message = "The logs lie in the folder's projects."
  }
  assert {
    condition     = { for key, grant in google_pubsub_topic_iam_member.sinks : key => grant.member } == { for name in ["prestream-audit", "prestream-gke-events"] : "folder/${name}" => "serviceAccount:service-folder-123456@gcp-sa-logging.iam.gserviceaccount.com" }
    error_message = "The folder's sinks must be able to publish."
  }
}

run "organization" {
  command = apply

  module {
    source = "./modules/prestream"
  }

  variables {
    sink_scope = { organization = "654321" }
  }

  assert {
    condition     = length(google_logging_project_sink.main) == 0 && length(google_logging_folder_sink.main) == 0 && toset(keys(google_logging_organization_sink.main)) == toset(["prestream-audit", "prestream-gke-events"])
    error_message = "One sink of a kind reads the whole organization."
  }
  assert {
    condition     = { for key, grant in google_pubsub_topic_iam_member.sinks : key => grant.member } == { for name in ["prestream-audit", "prestream-gke-events"] : "organization/${name}" => "serviceAccount:service-org-654321@gcp-sa-logging.iam.gserviceaccount.com" }
    error_message = "The organization's sinks must be able to publish."
  }
}

run "folder_and_organization_are_refused" {
  command = plan

  module {
    source = "./modules/prestream"
  }

  variables {
    sink_scope = { folder = "123456", organization = "654321" }
  }

  expect_failures = [var.sink_scope]
}

run "existing_topics" {
  command = apply

  module {
    source = "./modules/prestream"
  }

  variables {
    build_projects  = ["ci-1"]
    existing_topics = ["gcr", "ci-1/cloud-builds"]
  }

  assert {
    condition     = toset(keys(google_pubsub_topic.main)) == toset(["cloud-builds", "prestream-audit", "prestream-gke-events", "prestream-image-references", "prestream-schedule"])
    error_message = "A topic of somebody else's is used, and not made."
  }
  assert {
    condition     = local.topic_ids["gcr"] == "projects/my-project/topics/gcr" && local.topic_ids["ci-1/cloud-builds"] == "projects/ci-1/topics/cloud-builds"
    error_message = "A topic of somebody else's is subscribed to."
  }
}

run "topic_of_ours_does_not_become_an_existing_one" {
  command = plan

  module {
    source = "./modules/prestream"
  }

  variables {
    existing_topics = ["gcr"]
  }

  override_data {
    target = data.google_pubsub_topic.existing["gcr"]
    values = {
      labels = { app = "prestream" }
    }
  }

  expect_failures = [data.google_pubsub_topic.existing]
}

run "topic_of_another_deployment_may_be_an_existing_one" {
  command = plan

  module {
    source = "./modules/prestream"
  }

  variables {
    registry_projects = ["registry-1"]
    existing_topics   = ["registry-1/gcr"]
  }

  override_data {
    target = data.google_pubsub_topic.existing["registry-1/gcr"]
    values = {
      labels = { app = "prestream", prestream-project = "other-project" }
    }
  }

  assert {
    condition     = !contains(keys(google_pubsub_topic.main), "registry-1/gcr")
    error_message = "Two deployments may read the pushes of one project."
  }
}

run "other_topics_cannot_be_existing" {
  command = plan

  module {
    source = "./modules/prestream"
  }

  variables {
    existing_topics = ["prestream-audit"]
  }

  expect_failures = [var.existing_topics]
}

run "released_archives" {
  command = plan

  module {
    source = "./modules/prestream"
  }

  variables {
    archives_folder   = null
    released_archives = { bucket = "releases", prefix = "v1.0.0/" }
  }

  assert {
    condition     = length(module.functions) == 6
    error_message = "Archives of a release need no checkout."
  }
}

run "either_archives_or_a_release" {
  command = plan

  module {
    source = "./modules/prestream"
  }

  variables {
    released_archives = { bucket = "releases" }
  }

  expect_failures = [var.released_archives]
}

run "key_of_another_place_is_refused" {
  command = plan

  module {
    source = "./modules/prestream"
  }

  variables {
    kms_key = "projects/my-project/locations/europe-west4/keyRings/ring/cryptoKeys/key"
  }

  expect_failures = [var.kms_key]
}

run "no_alerts" {
  command = plan

  module {
    source = "./modules/prestream"
  }

  variables {
    alerts = { enabled = false }
  }

  assert {
    condition     = length(google_monitoring_alert_policy.metrics) == 0 && length(google_monitoring_alert_policy.lines) == 0
    error_message = "Alert policies must be gone where they are turned off."
  }
}
