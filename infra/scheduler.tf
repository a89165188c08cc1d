# The sweep decides what is due; a tick when nothing is costs a look at each cluster.
resource "google_cloud_scheduler_job" "sweep" {
  region      = var.location
  name        = "prestream-sweep"
  description = "Wakes the function scheduled_sweep."
  schedule    = var.sweep.schedule
  time_zone   = var.sweep.time_zone
  paused      = var.sweep.paused

  pubsub_target {
    topic_name = local.topic_ids[local.functions.scheduled_sweep.topic]
    data       = base64encode("{}")
  }

  depends_on = [google_project_service.main]
}
