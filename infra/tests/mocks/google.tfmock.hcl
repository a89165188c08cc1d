# Computed values in the form that the provider gives them: other resources read them, and its
# validators refuse any other form.

mock_data "google_container_cluster" {
  defaults = {
    cluster_autoscaling = []
    enable_autopilot    = false
    node_locations      = ["us-central1-c", "us-central1-a"]
    node_pool = [
      {
        node_config = [{
          guest_accelerator = []
          machine_type      = "e2-standard-4"
          service_account   = "default"
        }]
      },
      {
        node_config = [{
          guest_accelerator = [{ count = 1, type = "nvidia-l4" }]
          machine_type      = "g2-standard-4"
          service_account   = "gpu-nodes@my-project.iam.gserviceaccount.com"
        }]
      },
    ]
  }
}

mock_data "google_project" {
  defaults = {
    number = "123456789012"
  }
}

mock_data "google_pubsub_topic" {
  defaults = {
    labels = {}
  }
}

mock_resource "google_artifact_registry_repository" {
  defaults = {
    id   = "projects/my-project/locations/us-central1/repositories/mock"
    name = "mock"
  }
}

mock_resource "google_cloudfunctions2_function" {
  defaults = {
    service_config = {
      uri = "https://mock-0123456789-uc.a.run.app"
    }
  }
}

mock_resource "google_logging_folder_sink" {
  defaults = {
    writer_identity = "serviceAccount:service-folder-123456@gcp-sa-logging.iam.gserviceaccount.com"
  }
}

mock_resource "google_logging_organization_sink" {
  defaults = {
    writer_identity = "serviceAccount:service-org-654321@gcp-sa-logging.iam.gserviceaccount.com"
  }
}

mock_resource "google_logging_project_bucket_config" {
  defaults = {
    id = "projects/my-project/locations/global/buckets/prestream"
  }
}

mock_resource "google_logging_project_sink" {
  defaults = {
    writer_identity = "serviceAccount:service-123456789012@gcp-sa-logging.iam.gserviceaccount.com"
  }
}

mock_resource "google_organization_iam_custom_role" {
  defaults = {
    id   = "organizations/654321/roles/prestream_mock"
    name = "organizations/654321/roles/prestream_mock"
  }
}

mock_resource "google_project_iam_custom_role" {
  defaults = {
    id   = "projects/my-project/roles/prestream_mock"
    name = "projects/my-project/roles/prestream_mock"
  }
}

mock_resource "google_pubsub_subscription" {
  defaults = {
    id = "projects/my-project/subscriptions/mock"
  }
}

mock_resource "google_pubsub_topic" {
  defaults = {
    id = "projects/my-project/topics/mock"
  }
}

mock_resource "google_service_account" {
  defaults = {
    email  = "prestream-mock@my-project.iam.gserviceaccount.com"
    id     = "projects/my-project/serviceAccounts/prestream-mock@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:prestream-mock@my-project.iam.gserviceaccount.com"
    name   = "projects/my-project/serviceAccounts/prestream-mock@my-project.iam.gserviceaccount.com"
  }
}
