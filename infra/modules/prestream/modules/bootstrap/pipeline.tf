# The identity of cloudbuild.yaml and all its rights: to plan and apply the module prestream with each of its options, to
# apply infra/kubernetes, and to check one warmup. It may set the policies of topics, subscriptions and services, but not
# of a project, a role or a service account. tests/contract/test_pipeline_rights.py derives the lists from the resources.

locals {
  _pipelines    = var.pipeline == null ? {} : { main = var.pipeline }
  _state_bucket = var.pipeline == null ? null : coalesce(var.pipeline.state_bucket, "${var.project_id}-prestream-state")

  # The resources of the functions' project.
  pipeline_permissions = [
    "cloudfunctions.functions.create",
    "cloudfunctions.functions.delete",
    "cloudfunctions.functions.get",
    "cloudfunctions.functions.update",
    "cloudfunctions.operations.get",
    "cloudscheduler.jobs.create",
    "cloudscheduler.jobs.delete",
    "cloudscheduler.jobs.enable",
    "cloudscheduler.jobs.get",
    "cloudscheduler.jobs.pause",
    "cloudscheduler.jobs.update",
    "logging.buckets.create",
    "logging.buckets.delete",
    "logging.buckets.get",
    "logging.buckets.update",
    "logging.logMetrics.create",
    "logging.logMetrics.delete",
    "logging.logMetrics.get",
    "logging.logMetrics.update",
    "logging.notificationRules.create",
    "logging.notificationRules.delete",
    "logging.notificationRules.update",
    "logging.operations.get",
    "logging.sinks.create",
    "logging.sinks.delete",
    "logging.sinks.get",
    "logging.sinks.update",
    "monitoring.alertPolicies.create",
    "monitoring.alertPolicies.delete",
    "monitoring.alertPolicies.get",
    "monitoring.alertPolicies.update",
    "monitoring.dashboards.create",
    "monitoring.dashboards.delete",
    "monitoring.dashboards.get",
    "monitoring.dashboards.update",
    "pubsub.subscriptions.create",
    "pubsub.subscriptions.delete",
    "pubsub.subscriptions.get",
    "pubsub.subscriptions.getIamPolicy",
    "pubsub.subscriptions.setIamPolicy",
    "pubsub.subscriptions.update",
    "pubsub.topics.attachSubscription",
    "pubsub.topics.create",
    "pubsub.topics.delete",
    "pubsub.topics.get",
    "pubsub.topics.getIamPolicy",
    "pubsub.topics.setIamPolicy",
    "pubsub.topics.update",
    "resourcemanager.projects.get",
    "run.services.getIamPolicy",
    "run.services.setIamPolicy",
  ]

  # The resources of other projects.
  pipeline_mirror_permissions = [
    "artifactregistry.repositories.create",
    "artifactregistry.repositories.delete",
    "artifactregistry.repositories.get",
    "artifactregistry.repositories.update",
  ]
  pipeline_sink_permissions = [
    "logging.sinks.create",
    "logging.sinks.delete",
    "logging.sinks.get",
    "logging.sinks.update",
  ]
  pipeline_source_permissions = [
    "pubsub.topics.attachSubscription",
    "pubsub.topics.create",
    "pubsub.topics.delete",
    "pubsub.topics.get",
    "pubsub.topics.update",
  ]

  # The steps of the build that are not Terraform's: its log, the clusters' manifests, and the smoke test.
  pipeline_build_permissions = [
    "logging.logEntries.create",
    "logging.logEntries.list",
    "pubsub.topics.publish",
  ]
  # To make roles that it does not hold itself takes escalate and bind.
  _pipeline_objects = {
    clusterRoleBindings = ["create", "get", "update"]
    clusterRoles        = ["bind", "create", "escalate", "get", "update"]
    configMaps          = ["create", "get", "update"]
    namespaces          = ["create", "get", "update"]
    networkPolicies     = ["create", "get", "update"]
    priorityClasses     = ["create", "get", "update"]
    resourceQuotas      = ["create", "get", "update"]
    roleBindings        = ["create", "get", "update"]
    roles               = ["bind", "create", "escalate", "get", "update"]
    serviceAccounts     = ["create", "get", "update"]
  }
  _pipeline_cluster_permissions = concat(
    ["container.clusters.connect", "container.clusters.get", "container.clusters.list"],
    flatten([for object, verbs in local._pipeline_objects : [for verb in verbs : "container.${object}.${verb}"]]),
  )

  _is_project_scope = var.sink_scope.folder == null && var.sink_scope.organization == null
  _pipeline_rights = [
    { projects = [var.project_id], permissions = local.pipeline_permissions },
    { projects = [var.project_id], permissions = local.pipeline_build_permissions },
    { projects = module.settings.cluster_projects, permissions = local._pipeline_cluster_permissions },
    { projects = local._is_project_scope ? module.settings.cluster_projects : [], permissions = local.pipeline_sink_permissions },
    { projects = length(var.mirrors.locations) == 0 ? [] : [module.settings.mirrors_project], permissions = local.pipeline_mirror_permissions },
    { projects = setunion(var.build_projects, var.registry_projects), permissions = local.pipeline_source_permissions },
  ]
  _pipeline_projects = {
    for project in var.pipeline == null ? [] : distinct(flatten([for right in local._pipeline_rights : tolist(right.projects)])) :
    project => sort(distinct(flatten([for right in local._pipeline_rights : right.permissions if contains(right.projects, project)])))
  }
}

resource "google_service_account" "pipeline" {
  for_each = local._pipelines

  project      = var.project_id
  account_id   = "prestream-pipeline"
  display_name = "Prestream: tests and deploys"

  depends_on = [google_project_service.main]
}

resource "google_project_iam_custom_role" "pipeline" {
  for_each = local._pipeline_projects

  project     = each.key
  role_id     = "prestream_pipeline"
  title       = "Prestream: pipeline"
  description = "Plans and applies Prestream, without rights on identities, roles and projects."
  permissions = each.value

  depends_on = [google_project_service.main]
}

resource "google_project_iam_member" "pipeline" {
  for_each = local._pipeline_projects

  project = each.key
  role    = google_project_iam_custom_role.pipeline[each.key].id
  member  = google_service_account.pipeline["main"].member
}

# A folder has no custom roles, so this is the narrowest role for its sinks.
resource "google_folder_iam_member" "pipeline" {
  for_each = var.sink_scope.folder == null ? {} : local._pipelines

  folder = var.sink_scope.folder
  role   = "roles/logging.configWriter"
  member = google_service_account.pipeline[each.key].member
}

resource "google_organization_iam_custom_role" "pipeline" {
  for_each = var.sink_scope.organization == null ? {} : local._pipelines

  org_id      = var.sink_scope.organization
  role_id     = "prestream_pipeline"
  title       = "Prestream: pipeline"
  description = "Manages the sinks of Prestream."
  permissions = local.pipeline_sink_permissions
}

resource "google_organization_iam_member" "pipeline" {
  for_each = var.sink_scope.organization == null ? {} : local._pipelines

  org_id = var.sink_scope.organization
  role   = google_organization_iam_custom_role.pipeline[each.key].name
  member = google_service_account.pipeline[each.key].member
}

# To deploy a function, and to let Pub/Sub sign pushes, takes the right to act as the identity.
resource "google_project_iam_custom_role" "pipeline_act_as" {
  for_each = local._pipelines

  project     = var.project_id
  role_id     = "prestream_pipeline_act_as"
  title       = "Prestream: pipeline, act as"
  description = "Deploys as an identity."
  permissions = ["iam.serviceAccounts.actAs"]

  depends_on = [google_project_service.main]
}

resource "google_service_account_iam_member" "pipeline" {
  for_each = var.pipeline == null ? {} : merge(
    { for name, account in google_service_account.functions : name => account.name },
    { builder = google_service_account.builder.name, invoker = google_service_account.invoker.name },
  )

  service_account_id = each.value
  role               = google_project_iam_custom_role.pipeline_act_as["main"].id
  member             = google_service_account.pipeline["main"].member
}

# The upload of gcloud builds submit.
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

# The state of the module prestream. The state of this module is not for the pipeline: keep it elsewhere, or under
# another prefix.
resource "google_storage_bucket" "state" {
  for_each = { for key, pipeline in local._pipelines : key => pipeline if pipeline.state_bucket == null }

  project                     = var.project_id
  name                        = local._state_bucket
  location                    = var.location
  labels                      = var.labels
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true

  versioning {
    enabled = true
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_project_service.main]
}

resource "google_project_iam_custom_role" "pipeline_objects" {
  for_each = local._pipelines

  project     = var.project_id
  role_id     = "prestream_pipeline_objects"
  title       = "Prestream: pipeline, objects"
  description = "Uploads archives, and keeps the state."
  permissions = ["storage.objects.create", "storage.objects.delete", "storage.objects.get"]

  depends_on = [google_project_service.main]
}

resource "google_project_iam_custom_role" "pipeline_list" {
  for_each = local._pipelines

  project     = var.project_id
  role_id     = "prestream_pipeline_list"
  title       = "Prestream: pipeline, list"
  description = "Finds the state."
  permissions = ["storage.objects.list"]

  depends_on = [google_project_service.main]
}

resource "google_storage_bucket_iam_member" "pipeline_archives" {
  for_each = local._pipelines

  bucket = google_storage_bucket.archives.name
  role   = google_project_iam_custom_role.pipeline_objects[each.key].id
  member = google_service_account.pipeline[each.key].member
}

resource "google_storage_bucket_iam_member" "pipeline_state" {
  for_each = local._pipelines

  bucket = each.value.state_bucket == null ? google_storage_bucket.state[each.key].name : each.value.state_bucket
  role   = google_project_iam_custom_role.pipeline_objects[each.key].id
  member = google_service_account.pipeline[each.key].member

  condition {
    title      = "State of Prestream"
    expression = "resource.name.startsWith(\"projects/_/buckets/${local._state_bucket}/objects/prestream/\")"
  }
}

# The backend lists the states of the bucket, which no condition on an object covers.
resource "google_storage_bucket_iam_member" "pipeline_list" {
  for_each = local._pipelines

  bucket = each.value.state_bucket == null ? google_storage_bucket.state[each.key].name : each.value.state_bucket
  role   = google_project_iam_custom_role.pipeline_list[each.key].id
  member = google_service_account.pipeline[each.key].member
}
