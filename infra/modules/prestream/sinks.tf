locals {
  _filter_variables = {
    namespace         = module.settings.settings.namespace
    system_namespaces = join("|", sort(module.settings.settings.system_namespaces))
  }
  sinks = {
    prestream-audit = {
      description = "Writes of workloads to the Kubernetes API, for the function audit_log."
      filter      = templatefile("${path.module}/filters/audit_log.filter.tftpl", local._filter_variables)
      topic       = local.functions.audit_log.topic
    }
    prestream-gke-events = {
      description = "Reports of nodes and Jobs about pulls, for the function pull_event."
      filter      = templatefile("${path.module}/filters/gke_events.filter.tftpl", local._filter_variables)
      topic       = local.functions.pull_event.topic
    }
  }

  _is_project_scope = var.sink_scope.folder == null && var.sink_scope.organization == null
  _project_sinks = {
    for pair in setproduct(local._is_project_scope ? module.settings.cluster_projects : [], keys(local.sinks)) :
    "${pair[0]}/${pair[1]}" => { project = pair[0], sink = pair[1] }
  }

  # Each sink writes with an identity of its own.
  _writers = merge(
    { for key, sink in google_logging_project_sink.main : key => { sink = sink.name, identity = sink.writer_identity } },
    { for name, sink in google_logging_folder_sink.main : "folder/${name}" => { sink = name, identity = sink.writer_identity } },
    { for name, sink in google_logging_organization_sink.main : "organization/${name}" => { sink = name, identity = sink.writer_identity } },
  )
}

resource "google_logging_project_sink" "main" {
  for_each = local._project_sinks

  project                = each.value.project
  name                   = each.value.sink
  description            = local.sinks[each.value.sink].description
  destination            = "pubsub.googleapis.com/${local.topic_ids[local.sinks[each.value.sink].topic]}"
  filter                 = local.sinks[each.value.sink].filter
  unique_writer_identity = true
}

resource "google_logging_folder_sink" "main" {
  for_each = var.sink_scope.folder == null ? {} : local.sinks

  folder           = var.sink_scope.folder
  name             = each.key
  description      = each.value.description
  destination      = "pubsub.googleapis.com/${local.topic_ids[each.value.topic]}"
  filter           = each.value.filter
  include_children = true
}

resource "google_logging_organization_sink" "main" {
  for_each = var.sink_scope.organization == null ? {} : local.sinks

  org_id           = var.sink_scope.organization
  name             = each.key
  description      = each.value.description
  destination      = "pubsub.googleapis.com/${local.topic_ids[each.value.topic]}"
  filter           = each.value.filter
  include_children = true
}

resource "google_pubsub_topic_iam_member" "sinks" {
  for_each = local._writers

  project = var.project_id
  topic   = local.topic_ids[local.sinks[each.value.sink].topic]
  role    = "roles/pubsub.publisher"
  member  = each.value.identity
}

# Facts outlive the 30 days of the default bucket, which keeps its own copy.
resource "google_logging_project_bucket_config" "facts" {
  project          = var.project_id
  location         = var.kms_key == null ? "global" : var.location
  bucket_id        = "prestream"
  description      = "Facts of Prestream: warmups and pulls, with their evidence."
  enable_analytics = var.facts.analytics
  retention_days   = var.facts.retention_days

  dynamic "cmek_settings" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_name = cmek_settings.value
    }
  }
}

resource "google_logging_project_sink" "facts" {
  project     = var.project_id
  name        = "prestream-facts"
  description = "Keeps the facts of Prestream in a bucket of their own."
  destination = "logging.googleapis.com/${google_logging_project_bucket_config.facts.id}"
  filter      = "log_id(\"prestream\")"
}
