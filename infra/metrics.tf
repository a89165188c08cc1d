# Metrics from logs. A line that Pub/Sub's redelivery made twice counts twice here, while a query of
# the log shows it once: these are for trends and alerts, the facts are for reckoning.

locals {
  _metrics = {
    dispositions = {
      description = "Deliveries to the functions, by how they ended."
      filter      = "resource.type=\"cloud_run_revision\" resource.labels.service_name=~\"^prestream-\" jsonPayload.disposition:*"
      labels = {
        disposition = "jsonPayload.disposition"
        function    = "resource.labels.service_name"
      }
    }
    facts = {
      description = "Facts, by what they are about."
      filter      = "log_id(\"prestream\")"
      labels      = { event = "jsonPayload.event" }
    }
    warmups = {
      description = "Warmups that ended, by outcome and by the rung that served."
      filter      = "log_id(\"prestream\") jsonPayload.event=\"warmup.finished\""
      labels = {
        outcome  = "jsonPayload.outcome"
        strategy = "jsonPayload.strategy"
      }
    }
  }
}

resource "google_logging_metric" "counts" {
  for_each = local._metrics

  name             = "prestream/${each.key}"
  description      = each.value.description
  filter           = each.value.filter
  label_extractors = { for label, field in each.value.labels : label => "EXTRACT(${field})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  depends_on = [google_project_service.main]
}

resource "google_logging_metric" "pull_seconds" {
  name        = "prestream/pull_seconds"
  description = "Seconds that pulls took, by what pulled, outcome and verdict."
  filter      = "log_id(\"prestream\") jsonPayload.pull_seconds>=0"

  value_extractor = "EXTRACT(jsonPayload.pull_seconds)"
  label_extractors = {
    event    = "EXTRACT(jsonPayload.event)"
    outcome  = "EXTRACT(jsonPayload.outcome)"
    streamed = "EXTRACT(jsonPayload.streamed)"
  }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "s"

    labels {
      key         = "event"
      value_type  = "STRING"
      description = "warmup.finished, or pull.observed for other pods."
    }
    labels {
      key         = "outcome"
      value_type  = "STRING"
      description = "Of a warmup."
    }
    labels {
      key         = "streamed"
      value_type  = "STRING"
      description = "The verdict."
    }
  }

  # From a quarter of a second to well over an hour.
  bucket_options {
    exponential_buckets {
      scale              = 0.25
      growth_factor      = 1.5
      num_finite_buckets = 26
    }
  }

  depends_on = [google_project_service.main]
}
