# The identity of cloudbuild.yaml and all its rights. A person creates it by an apply with pipeline set; it
# cannot change its own rights. docs/deploy.md lists the reasons.

locals {
  _pipelines = var.pipeline == null ? {} : { main = var.pipeline }

  _pipeline_roles = [
    "roles/artifactregistry.admin",
    "roles/cloudfunctions.developer",
    "roles/cloudscheduler.admin",
    "roles/iam.roleAdmin",
    "roles/iam.serviceAccountAdmin",
    "roles/logging.configWriter",
    "roles/logging.logWriter",
    "roles/logging.viewer",
    "roles/monitoring.alertPolicyEditor",
    "roles/monitoring.dashboardEditor",
    "roles/pubsub.admin",
    "roles/serviceusage.serviceUsageAdmin",
  ]

  # The roles that it may grant, and take away, on a project: those that this Terraform grants.
  _pipeline_grantable = concat(
    [for role in values(google_project_iam_custom_role.main) : role.id if role.project == var.project_id],
    [
      "roles/artifactregistry.reader",
      "roles/logging.logWriter",
      "roles/serviceusage.serviceUsageConsumer",
      "roles/storage.objectViewer",
    ],
  )

  # For infra/kubernetes. To make roles that it does not hold itself takes escalate and bind.
  _pipeline_objects = {
    clusterRoleBindings = ["create", "get", "update"]
    clusterRoles        = ["bind", "create", "escalate", "get", "update"]
    namespaces          = ["create", "get", "update"]
    networkPolicies     = ["create", "get", "update"]
    priorityClasses     = ["create", "get", "update"]
    resourceQuotas      = ["create", "get", "update"]
    roleBindings        = ["create", "get", "update"]
    roles               = ["bind", "create", "escalate", "get", "update"]
    serviceAccounts     = ["create", "get", "update"]
  }
}

resource "google_service_account" "pipeline" {
  for_each = local._pipelines

  account_id   = "prestream-pipeline"
  display_name = "Prestream: tests and deploys"
}

resource "google_project_iam_member" "pipeline" {
  for_each = toset(var.pipeline == null ? [] : local._pipeline_roles)

  project = var.project_id
  role    = each.value
  member  = google_service_account.pipeline["main"].member
}

resource "google_project_iam_member" "pipeline_grants" {
  for_each = local._pipelines

  project = var.project_id
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = google_service_account.pipeline[each.key].member

  condition {
    title       = "Roles of Prestream"
    description = "Grants no others."
    expression  = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([${join(", ", formatlist("'%s'", local._pipeline_grantable))}])"
  }
}

# The uploads of gcloud builds submit, and the archives.
resource "google_project_iam_member" "pipeline_sources" {
  for_each = local._pipelines

  project = var.project_id
  role    = "roles/storage.objectViewer"
  member  = google_service_account.pipeline[each.key].member

  condition {
    title      = "Sources of builds"
    expression = "resource.name.startsWith(\"projects/_/buckets/${var.project_id}_cloudbuild\")"
  }
}

resource "google_storage_bucket_iam_member" "pipeline_archives" {
  for_each = local._pipelines

  bucket = google_storage_bucket.archives.name
  role   = "roles/storage.admin"
  member = google_service_account.pipeline[each.key].member
}

resource "google_storage_bucket_iam_member" "pipeline_state" {
  for_each = local._pipelines

  bucket = each.value.state_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.pipeline[each.key].member
}

resource "google_project_iam_custom_role" "pipeline_invokers" {
  for_each = local._pipelines

  role_id     = "prestream_pipeline_invokers"
  title       = "Prestream: who may call"
  description = "Grants the right to call the functions."
  permissions = ["run.services.getIamPolicy", "run.services.setIamPolicy"]

  depends_on = [google_project_service.main]
}

resource "google_project_iam_member" "pipeline_invokers" {
  for_each = local._pipelines

  project = var.project_id
  role    = google_project_iam_custom_role.pipeline_invokers[each.key].id
  member  = google_service_account.pipeline[each.key].member
}

resource "google_project_iam_custom_role" "pipeline_clusters" {
  for_each = var.pipeline == null ? toset([]) : local.cluster_projects

  project     = each.value
  role_id     = "prestream_pipeline_clusters"
  title       = "Prestream: manifests"
  description = "Applies infra/kubernetes to clusters."
  permissions = sort(concat(
    ["container.clusters.connect", "container.clusters.get", "container.clusters.list"],
    flatten([for object, verbs in local._pipeline_objects : [for verb in verbs : "container.${object}.${verb}"]]),
  ))

  depends_on = [google_project_service.main]
}

resource "google_project_iam_member" "pipeline_clusters" {
  for_each = google_project_iam_custom_role.pipeline_clusters

  project = each.value.project
  role    = each.value.id
  member  = google_service_account.pipeline["main"].member
}

# Deploying requires acting as the deployed identities.
resource "google_service_account_iam_member" "pipeline" {
  for_each = var.pipeline == null ? {} : {
    builder = google_service_account.builder.name
    invoker = google_service_account.invoker.name
  }

  service_account_id = each.value
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.pipeline["main"].member
}
