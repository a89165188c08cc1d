# A function of the module, with any file in the place of its archive.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  name        = "prestream-example"
  description = "Does nothing."
  project_id  = "my-project"
  location    = "us-central1"
  archive     = { bucket = "archives", path = "tests/configurations/empty.yaml" }
  build = {
    docker_repository = "projects/my-project/locations/us-central1/repositories/functions"
    service_account   = "projects/my-project/serviceAccounts/builder@my-project.iam.gserviceaccount.com"
  }
  entry_point     = "handle_example"
  environment     = { GOOGLE_CLOUD_PROJECT = "my-project" }
  limits          = { max_instances = 3 }
  runtime         = "python313"
  service_account = "prestream-example@my-project.iam.gserviceaccount.com"
  trigger = {
    topics            = { main = "projects/my-project/topics/example" }
    filter            = "attributes.status = \"SUCCESS\""
    dead_letter_topic = "projects/my-project/topics/dead-letters"
    invoker_email     = "invoker@my-project.iam.gserviceaccount.com"
    pubsub_agent      = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
    retention         = "604800s"
  }
}

run "a_delivery_that_fails_is_tried_again_and_then_kept" {
  command = plan

  module {
    source = "./modules/prestream/modules/event_function"
  }

  assert {
    condition     = google_pubsub_subscription.main["main"].retry_policy[0].minimum_backoff == "10s" && google_pubsub_subscription.main["main"].retry_policy[0].maximum_backoff == "600s"
    error_message = "Deliveries must be tried again, ever more slowly."
  }
  assert {
    condition     = google_pubsub_subscription.main["main"].dead_letter_policy[0].dead_letter_topic == "projects/my-project/topics/dead-letters" && google_pubsub_subscription.main["main"].dead_letter_policy[0].max_delivery_attempts == 10
    error_message = "Only dead letters end what cannot be delivered."
  }
  assert {
    condition     = google_pubsub_subscription_iam_member.dead_letters["main"].role == "roles/pubsub.subscriber"
    error_message = "Pub/Sub must be able to take a message out of the subscription."
  }
  assert {
    condition     = google_pubsub_subscription.main["main"].retain_acked_messages && google_pubsub_subscription.main["main"].message_retention_duration == "604800s"
    error_message = "Acknowledged messages must be kept for a replay."
  }
  assert {
    condition     = google_pubsub_subscription.main["main"].filter == "attributes.status = \"SUCCESS\""
    error_message = "The filter saves deliveries."
  }
}

run "nobody_but_the_invoker_may_call_it" {
  command = plan

  module {
    source = "./modules/prestream/modules/event_function"
  }

  assert {
    condition     = google_cloudfunctions2_function.main.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "The function must not be reached from outside."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.invoker.member == "serviceAccount:invoker@my-project.iam.gserviceaccount.com" && google_cloud_run_v2_service_iam_member.invoker.role == "roles/run.invoker"
    error_message = "Only the invoker may call the function."
  }
}

run "the_code_finds_its_environment" {
  command = plan

  module {
    source = "./modules/prestream/modules/event_function"
  }

  assert {
    condition     = google_cloudfunctions2_function.main.build_config[0].entry_point == "handle_example" && google_cloudfunctions2_function.main.service_config[0].environment_variables["GOOGLE_CLOUD_PROJECT"] == "my-project"
    error_message = "The function must be given its entry point and its project."
  }
  assert {
    condition     = google_cloudfunctions2_function.main.service_config[0].timeout_seconds == google_pubsub_subscription.main["main"].ack_deadline_seconds
    error_message = "Pub/Sub must wait as long as the function may run."
  }
}

run "the_name_of_an_archive_follows_its_content" {
  command = plan

  module {
    source = "./modules/prestream/modules/event_function"
  }

  assert {
    condition     = google_storage_bucket_object.archive[0].name == "prestream-example-${filemd5("tests/configurations/empty.yaml")}.zip"
    error_message = "A function is built anew if and only if its archive changed."
  }
}

run "a_missing_archive_is_told" {
  command = plan

  module {
    source = "./modules/prestream/modules/event_function"
  }

  variables {
    archive = { bucket = "archives", path = "tests/configurations/missing.zip" }
  }

  expect_failures = [google_storage_bucket_object.archive]
}

run "too_few_attempts_are_refused" {
  command = plan

  module {
    source = "./modules/prestream/modules/event_function"
  }

  variables {
    trigger = {
      topics                = { main = "projects/my-project/topics/example" }
      dead_letter_topic     = "projects/my-project/topics/dead-letters"
      invoker_email         = "invoker@my-project.iam.gserviceaccount.com"
      max_delivery_attempts = 3
      pubsub_agent          = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
      retention             = "604800s"
    }
  }

  expect_failures = [var.trigger]
}

run "a_topic_of_another_project_has_a_subscription_of_its_own" {
  command = plan

  module {
    source = "./modules/prestream/modules/event_function"
  }

  variables {
    trigger = {
      topics            = { main = "projects/my-project/topics/gcr", registry-1 = "projects/registry-1/topics/gcr" }
      dead_letter_topic = "projects/my-project/topics/dead-letters"
      invoker_email     = "invoker@my-project.iam.gserviceaccount.com"
      pubsub_agent      = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
      retention         = "604800s"
    }
  }

  assert {
    condition = { for key, each in google_pubsub_subscription.main : key => "${each.project}/${each.name} ${each.topic}" } == {
      main       = "my-project/prestream-example projects/my-project/topics/gcr"
      registry-1 = "my-project/prestream-example-registry-1 projects/registry-1/topics/gcr"
    }
    error_message = "Messages of both projects must reach the function."
  }
  assert {
    condition     = length(google_pubsub_subscription_iam_member.dead_letters) == 2
    error_message = "Pub/Sub must be able to take a message out of each subscription."
  }
}

run "a_released_archive_is_used_where_it_is" {
  command = plan

  module {
    source = "./modules/prestream/modules/event_function"
  }

  variables {
    archive = { bucket = "releases", object = "v1.0.0/example.zip" }
  }

  assert {
    condition     = length(google_storage_bucket_object.archive) == 0 && google_cloudfunctions2_function.main.build_config[0].source[0].storage_source[0].object == "v1.0.0/example.zip"
    error_message = "A released archive is not uploaded again."
  }
}
