# What an apply with nothing but a project and a region makes, planned with a mocked provider.
# make archives comes first, as before an apply.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id = "my-project"
  location   = "us-central1"
}

run "functions_get_an_identity_each" {
  command = plan

  assert {
    condition     = length(module.functions) == length(local.functions)
    error_message = "Every entry of the map must become a function."
  }
}

run "topics_and_their_dead_letters" {
  command = plan

  assert {
    condition     = toset(keys(google_pubsub_topic.main)) == toset(["cloud-builds", "gcr", "prestream-audit", "prestream-dead-letters", "prestream-gke-events", "prestream-image-references", "prestream-schedule"])
    error_message = "Each function needs its topic, and all of them the one for dead letters."
  }
  assert {
    condition     = google_pubsub_subscription.dead_letters.message_retention_duration == "2678400s"
    error_message = "Dead letters must be kept as long as Pub/Sub can."
  }
}

run "sinks_pass_over_our_own_namespace" {
  command = plan

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
}

run "detectors_only_publish" {
  command = plan

  assert {
    condition     = length([for key, grant in local._grants : key if contains(["audit_log", "build_notification", "registry_push"], grant.function)]) == 0
    error_message = "Detectors need no role of a project."
  }
  assert {
    condition     = contains(keys(google_pubsub_topic_iam_member.functions), "prestream-image-references/audit_log")
    error_message = "Detectors must be able to publish references."
  }
}

run "nothing_costly_is_on" {
  command = plan

  assert {
    condition     = length(google_container_node_pool.warm_pool) == 0 && length(google_artifact_registry_repository.mirrors) == 0 && length(google_service_account.pipeline) == 0
    error_message = "Warm pool, mirrors in advance and the pipeline's identity are made on request only."
  }
}

run "alerts_are_on" {
  command = plan

  assert {
    condition     = length(google_monitoring_alert_policy.metrics) == 6 && length(google_monitoring_alert_policy.lines) == 2
    error_message = "All alert policies are there unless they are turned off."
  }
}

run "applies" {
  # Mocked, so nothing is made; but what is known only after an apply is worked out as well.
  command = apply

  assert {
    condition     = toset(keys(output.service_accounts)) == toset(keys(local.functions))
    error_message = "The overlays of clusters need every identity."
  }
}
