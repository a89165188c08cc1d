# This checkout as the first user of the modules, with its configuration file. make archives comes first, as before
# an apply.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id = "my-project"
  location   = "us-central1"
}

run "applies" {
  # Mocked, so nothing is made; but what is known only after an apply is worked out as well.
  command = apply

  assert {
    condition = output.service_accounts == {
      for name in ["audit_log", "build_notification", "image_reference", "pull_event", "registry_push", "scheduled_sweep"] :
      name => "prestream-${replace(name, "_", "-")}@my-project.iam.gserviceaccount.com"
    }
    error_message = "The overlays of clusters need every identity."
  }
  assert {
    condition     = output.searched_projects == "my-project" && output.watched_clusters == "" && !output.dry_run
    error_message = "By default, all clusters of the project are watched."
  }
}

run "empty_configuration" {
  command = plan

  variables {
    config_file = "tests/configurations/empty.yaml"
  }

  assert {
    condition     = local.settings == {}
    error_message = "A file of comments only has no keys."
  }
}

run "configuration_in_other_projects" {
  command = plan

  variables {
    config_file = "tests/configurations/several-projects.yaml"
  }

  assert {
    condition     = output.searched_projects == "my-project team-b" && output.watched_clusters == "gpu projects/team-a/locations/us-east1/clusters/training"
    error_message = "The pipeline must learn which clusters are watched."
  }
}

