# Metrics from logs. A line that Pub/Sub's redelivery made twice counts twice here, while a query of
# the log shows it once: these are for trends and alerts, the facts are for reckoning.

locals {
  _metrics = {
    dispositions = {
      description = "Deliveries to the functions, by disposition."
      filter      = "resource.type=\"cloud_run_revision\" resource.labels.service_name=~\"^prestream-\" jsonPayload.disposition:*"
      labels = {
        disposition = "jsonPayload.disposition"
        function    = "resource.labels.service_name"
      }
    }
    facts = {
      description = "Facts, by event."
      filter      = "log_id(\"prestream\")"
      labels      = { event = "jsonPayload.event" }
    }
    not_onboarded = {
      description = "Sweeps that found a watched cluster not onboarded, by cluster."
      filter      = "log_id(\"prestream\") jsonPayload.event=\"cluster.not_onboarded\""
      labels      = { cluster = "jsonPayload.cluster" }
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

# How many images in use each sweep counts: one metric for each number of its line.
locals {
  _image_counts = {
    cold         = "jsonPayload.cold.images"
    due          = "jsonPayload.coverage.due"
    failed       = "jsonPayload.coverage.failed"
    held         = "jsonPayload.coverage.held"
    not_eligible = "jsonPayload.coverage.not_eligible"
    warm         = "jsonPayload.coverage.warm"
    warming      = "jsonPayload.coverage.warming"
  }

  # The mean of the sweeps of two hours, for each cluster: one sweep may fail.
  _images = {
    for state in keys(local._image_counts) : state =>
    "(sum by (cluster) (increase(logging_googleapis_com:user_prestream_images_${state}_sum{monitored_resource=\"cloud_run_revision\"}[2h])) / (sum by (cluster) (increase(logging_googleapis_com:user_prestream_images_${state}_count{monitored_resource=\"cloud_run_revision\"}[2h])) > 0))"
  }
}

resource "google_logging_metric" "images" {
  for_each = local._image_counts

  project          = var.project_id
  name             = "prestream/images_${each.key}"
  description      = "Images in use that are ${replace(each.key, "_", " ")}, by cluster: one value for each sweep."
  filter           = "resource.type=\"cloud_run_revision\" resource.labels.service_name=\"prestream-scheduled-sweep\" ${each.value}>=0"
  value_extractor  = "EXTRACT(${each.value})"
  label_extractors = { cluster = "EXTRACT(jsonPayload.cluster)" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "1"

    labels {
      key        = "cluster"
      value_type = "STRING"
    }
  }

  # Only the mean is shown, which is exact whatever the buckets are.
  bucket_options {
    exponential_buckets {
      scale              = 1
      growth_factor      = 4
      num_finite_buckets = 8
    }
  }
}

resource "google_logging_metric" "counts" {
  for_each = local._metrics

  project          = var.project_id
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
}

resource "google_logging_metric" "pull_seconds" {
  project     = var.project_id
  name        = "prestream/pull_seconds"
  description = "Duration of pulls in seconds, by event, outcome and verdict."
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
      description = "The outcome of a warmup."
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
}
