# docs/operations.md explains each alert. They are written in PromQL
# where a metric is ours: unlike the other conditions, those may name one whose first point is still
# to come, so that the first apply does not fail.

locals {
  _failed_outcomes = "misconfigured|no_node|pull_failed|timed_out"
  _quota           = "monitored_resource=\"consumer_quota\",service=\"containerfilesystem.googleapis.com\""

  _alerts = {
    cold_images = {
      title    = "images in use went cold"
      severity = "WARNING"
      query    = "${local._images["cold"]} > 0"
      text     = "They were warm, and have not been for a tenth of a period: the next node pulls them in full. The line of the sweep names them in the field cold."
    }
    container_file_system_quota = {
      title    = "image streaming has used half of its quota"
      severity = "WARNING"
      query    = <<-EOT
        sum by (quota_metric, location) (increase(serviceruntime_googleapis_com:quota_rate_net_usage{${local._quota}}[1m]))
        / min by (quota_metric, location) (last_over_time(serviceruntime_googleapis_com:quota_limit{${local._quota}}[1d]) > 0)
        > 0.5
      EOT
      text     = "Nodes ask the Container File System API for layers. Where its quota is spent, pulls fail and pods may crash."
    }
    dead_letters = {
      title    = "messages became dead letters"
      severity = "ERROR"
      query    = "max by (subscription_id) (max_over_time(pubsub_googleapis_com:subscription_num_undelivered_messages{monitored_resource=\"pubsub_subscription\",subscription_id=\"${google_pubsub_subscription.dead_letters.name}\"}[5m])) > 0"
      text     = "Their deliveries failed until Pub/Sub gave up. It stays open until they are pulled."
    }
    failed_warmups = {
      title    = "warmups fail"
      severity = "WARNING"
      query    = "sum(increase(logging_googleapis_com:user_prestream_warmups{monitored_resource=\"global\",outcome=~\"${local._failed_outcomes}\"}[1h])) > ${var.alerts.failed_warmups_an_hour}"
      text     = "More warmups than usual ended without their image in the cache, within an hour. The facts say why."
    }
    not_onboarded = {
      title    = "a watched cluster is not onboarded"
      severity = "WARNING"
      query    = "sum by (cluster) (increase(logging_googleapis_com:user_prestream_not_onboarded{monitored_resource=\"global\"}[1d])) > 0"
      text     = "It lacks our manifests or rights, so its deliveries are ignored. The fact cluster.not_onboarded has the command that fixes it; a sweep catches up afterwards. It closes within a day."
    }
    no_facts = {
      title    = "no fact for a day"
      severity = "WARNING"
      query    = "absent_over_time(logging_googleapis_com:user_prestream_facts{monitored_resource=\"global\"}[1d])"
      text     = "Nothing was warmed and no pull was seen. Either nothing was deployed, or something is broken on the way. It is open from the start until the first fact."
    }
  }
}

resource "google_monitoring_alert_policy" "metrics" {
  for_each = var.alerts.enabled ? local._alerts : {}

  project               = var.project_id
  display_name          = "Prestream: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.alerts.notification_channels

  conditions {
    display_name = each.value.title
    condition_prometheus_query_language {
      query                     = trimspace(each.value.query)
      duration                  = "300s"
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  documentation {
    content   = each.value.text
    mime_type = "text/markdown"
  }

  user_labels = local.labels

  depends_on = [google_logging_metric.counts, google_logging_metric.images]
}

# A single such line is an error, so these alerts match log lines and show one.
locals {
  _line_alerts = {
    dispositions = {
      title    = "a delivery was rejected, blocked or failed"
      severity = "ERROR"
      filter   = "resource.type=\"cloud_run_revision\" resource.labels.service_name=~\"^prestream-\" jsonPayload.disposition=(\"rejected\" OR \"blocked\" OR \"failed\")"
      labels = {
        disposition = "jsonPayload.disposition"
        function    = "resource.labels.service_name"
      }
      text = "Rejected: the message cannot be understood. Blocked: settings or rights are wrong, act now. Failed: a bug, with a traceback. The reason is in the line."
    }
    distrusted_mirrors = {
      title    = "a mirror is distrusted"
      severity = "WARNING"
      filter   = "log_id(\"prestream\") jsonPayload.event=\"mirror.distrusted\""
      labels = {
        cluster  = "jsonPayload.cluster"
        upstream = "jsonPayload.upstream"
      }
      text = "Pods of a cluster could not pull from it, so new pods name the upstream again. Pods that wait for it already must be created anew. The fact says why."
    }
  }
}

resource "google_monitoring_alert_policy" "lines" {
  for_each = var.alerts.enabled ? local._line_alerts : {}

  project               = var.project_id
  display_name          = "Prestream: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.alerts.notification_channels

  conditions {
    display_name = each.value.title
    condition_matched_log {
      filter           = each.value.filter
      label_extractors = { for label, field in each.value.labels : label => "EXTRACT(${field})" }
    }
  }

  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content   = each.value.text
    mime_type = "text/markdown"
  }

  user_labels = local.labels
}
