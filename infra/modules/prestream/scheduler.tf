# The sweep decides which images are due; a tick without any costs one read of each cluster.
resource "google_cloud_scheduler_job" "sweep" {
  project     = var.project_id
  region      = var.location
  name        = "prestream-sweep"
  description = "Triggers the function scheduled_sweep."
  schedule    = var.sweep.schedule
  time_zone   = var.sweep.time_zone
  paused      = var.sweep.paused

  pubsub_target {
    topic_name = local.topic_ids[local.functions.scheduled_sweep.topic]
    data       = base64encode("{}")
  }
}
