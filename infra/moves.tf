# A deployment of one state becomes two: docs/deploy.md has the commands. Identities, roles, grants and storage leave this
# state without being destroyed; infra/bootstrap takes them over.

moved {
  from = google_artifact_registry_repository.mirrors
  to   = module.prestream.google_artifact_registry_repository.mirrors
}

moved {
  from = google_cloud_scheduler_job.sweep
  to   = module.prestream.google_cloud_scheduler_job.sweep
}

moved {
  from = google_logging_folder_sink.main
  to   = module.prestream.google_logging_folder_sink.main
}

moved {
  from = google_logging_metric.counts
  to   = module.prestream.google_logging_metric.counts
}

moved {
  from = google_logging_metric.images
  to   = module.prestream.google_logging_metric.images
}

moved {
  from = google_logging_metric.pull_seconds
  to   = module.prestream.google_logging_metric.pull_seconds
}

moved {
  from = google_logging_organization_sink.main
  to   = module.prestream.google_logging_organization_sink.main
}

moved {
  from = google_logging_project_bucket_config.facts
  to   = module.prestream.google_logging_project_bucket_config.facts
}

moved {
  from = google_logging_project_sink.facts
  to   = module.prestream.google_logging_project_sink.facts
}

moved {
  from = google_logging_project_sink.main
  to   = module.prestream.google_logging_project_sink.main
}

moved {
  from = google_monitoring_alert_policy.lines
  to   = module.prestream.google_monitoring_alert_policy.lines
}

moved {
  from = google_monitoring_alert_policy.metrics
  to   = module.prestream.google_monitoring_alert_policy.metrics
}

moved {
  from = google_monitoring_dashboard.main
  to   = module.prestream.google_monitoring_dashboard.main
}

moved {
  from = google_pubsub_subscription.dead_letters
  to   = module.prestream.google_pubsub_subscription.dead_letters
}

moved {
  from = google_pubsub_topic.main
  to   = module.prestream.google_pubsub_topic.main
}

moved {
  from = google_pubsub_topic_iam_member.dead_letters
  to   = module.prestream.google_pubsub_topic_iam_member.dead_letters
}

moved {
  from = google_pubsub_topic_iam_member.functions
  to   = module.prestream.google_pubsub_topic_iam_member.functions
}

moved {
  from = google_pubsub_topic_iam_member.sinks
  to   = module.prestream.google_pubsub_topic_iam_member.sinks
}

moved {
  from = module.functions
  to   = module.prestream.module.functions
}

removed {
  from = google_artifact_registry_repository.functions

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_artifact_registry_repository_iam_member.builder

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_container_node_pool.warm_pool

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_iam_custom_role.main

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_iam_custom_role.pipeline_clusters

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_iam_custom_role.pipeline_invokers

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_iam_member.builder

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_iam_member.builder_sources

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_iam_member.functions

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_iam_member.nodes

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_iam_member.pipeline

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_iam_member.pipeline_clusters

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_iam_member.pipeline_grants

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_iam_member.pipeline_invokers

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_iam_member.pipeline_sources

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_iam_member.warm_pool_images

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_iam_member.warm_pool_node

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_project_service.main

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_secret_manager_secret_iam_member.upstreams

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_service_account.builder

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_service_account.invoker

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_service_account.pipeline

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_service_account.warm_pool

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_service_account_iam_member.invoker

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_service_account_iam_member.pipeline

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_storage_bucket.archives

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_storage_bucket_iam_member.pipeline_archives

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_storage_bucket_iam_member.pipeline_state

  lifecycle {
    destroy = false
  }
}

removed {
  from = module.prestream.module.functions.google_service_account.main

  lifecycle {
    destroy = false
  }
}

removed {
  from = module.prestream.module.functions.google_service_account_iam_member.deployers

  lifecycle {
    destroy = false
  }
}

# infra/bootstrap creates this one topic.
moved {
  from = google_pubsub_topic.main["prestream-dead-letters"]
  to   = google_pubsub_topic.dead_letters
}

removed {
  from = google_pubsub_topic.dead_letters

  lifecycle {
    destroy = false
  }
}
