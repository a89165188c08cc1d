locals {
  # Twelve columns; each row is four high.
  _charts = [
    {
      title = "Images in use, by state"
      unit  = "1"
      query = join(" or ", [
        for state in ["warm", "warming", "due", "held", "failed", "not_eligible"] :
        "label_replace(sum(${local._images[state]}), \"state\", \"${state}\", \"\", \"\")"
      ])
    },
    {
      title = "Images in use that went cold, by cluster"
      unit  = "1"
      query = local._images["cold"]
    },
    {
      title = "Seconds of pulls by workloads, median, by verdict"
      unit  = "s"
      query = "histogram_quantile(0.5, sum by (le, streamed) (increase(logging_googleapis_com:user_prestream_pull_seconds_bucket{monitored_resource=\"global\",event=\"pull.observed\"}[1h])))"
    },
    {
      title = "Seconds of warmups, 95th percentile, by outcome"
      unit  = "s"
      query = "histogram_quantile(0.95, sum by (le, outcome) (increase(logging_googleapis_com:user_prestream_pull_seconds_bucket{monitored_resource=\"global\",event=\"warmup.finished\"}[1h])))"
    },
    {
      title = "Warmups an hour, by outcome"
      unit  = "1"
      query = "sum by (outcome) (increase(logging_googleapis_com:user_prestream_warmups{monitored_resource=\"global\"}[1h]))"
    },
    {
      title = "Pulls by workloads an hour, by verdict"
      unit  = "1"
      query = "sum by (streamed) (increase(logging_googleapis_com:user_prestream_pull_seconds_count{monitored_resource=\"global\",event=\"pull.observed\"}[1h]))"
    },
    {
      title = "Deliveries an hour, by function and disposition"
      unit  = "1"
      query = "sum by (function, disposition) (increase(logging_googleapis_com:user_prestream_dispositions{monitored_resource=\"cloud_run_revision\"}[1h]))"
    },
    {
      title = "Age of the oldest message that waits, by subscription"
      unit  = "s"
      query = "max by (subscription_id) (pubsub_googleapis_com:subscription_oldest_unacked_message_age{monitored_resource=\"pubsub_subscription\",subscription_id=~\"prestream-.*\"})"
    },
  ]
}

resource "google_monitoring_dashboard" "main" {
  project = var.project_id
  dashboard_json = jsonencode({
    displayName = "Prestream"
    mosaicLayout = {
      columns = 12
      tiles = concat(
        [
          # The server leaves out a position of zero; with it, every plan would differ.
          for index, chart in local._charts : merge({
            for axis, position in { xPos = index % 2 * 6, yPos = floor(index / 2) * 4 } :
            axis => position if position != 0
            }, {
            width  = 6
            height = 4
            widget = {
              title = chart.title
              xyChart = {
                dataSets = [{
                  plotType        = "LINE"
                  timeSeriesQuery = { prometheusQuery = chart.query, unitOverride = chart.unit }
                }]
              }
            }
          })
        ],
        [{
          yPos   = ceil(length(local._charts) / 2) * 4
          width  = 12
          height = 6
          widget = {
            title = "Facts that ask for something to be done"
            logsPanel = {
              filter        = "log_id(\"prestream\") severity>=WARNING"
              resourceNames = ["projects/${var.project_id}"]
            }
          }
        }],
      )
    }
  })
}
