# This state begins as a copy of a deployment of one state: docs/deploy.md has the commands. It keeps identities, roles,
# grants and storage, and forgets the rest without destroying it.

moved {
  from = google_pubsub_topic.main["prestream-dead-letters"]
  to   = module.bootstrap.google_pubsub_topic.dead_letters
}

moved {
  from = google_artifact_registry_repository.functions
  to   = module.bootstrap.google_artifact_registry_repository.functions
}

moved {
  from = google_artifact_registry_repository_iam_member.builder
  to   = module.bootstrap.google_artifact_registry_repository_iam_member.builder
}

moved {
  from = google_container_node_pool.warm_pool
  to   = module.bootstrap.google_container_node_pool.warm_pool
}

moved {
  from = google_project_iam_custom_role.main
  to   = module.bootstrap.google_project_iam_custom_role.main
}

moved {
  from = google_project_iam_member.builder
  to   = module.bootstrap.google_project_iam_member.builder
}

moved {
  from = google_project_iam_member.builder_sources
  to   = module.bootstrap.google_project_iam_member.builder_sources
}

moved {
  from = google_project_iam_member.functions
  to   = module.bootstrap.google_project_iam_member.functions
}

moved {
  from = google_project_iam_member.nodes
  to   = module.bootstrap.google_project_iam_member.nodes
}

moved {
  from = google_project_iam_member.pipeline_sources
  to   = module.bootstrap.google_project_iam_member.pipeline_sources
}

moved {
  from = google_project_service.main
  to   = module.bootstrap.google_project_service.main
}

moved {
  from = google_secret_manager_secret_iam_member.upstreams
  to   = module.bootstrap.google_secret_manager_secret_iam_member.upstreams
}

moved {
  from = google_service_account.builder
  to   = module.bootstrap.google_service_account.builder
}

moved {
  from = google_service_account.invoker
  to   = module.bootstrap.google_service_account.invoker
}

moved {
  from = google_service_account.pipeline
  to   = module.bootstrap.google_service_account.pipeline
}

moved {
  from = google_service_account_iam_member.invoker
  to   = module.bootstrap.google_service_account_iam_member.invoker
}

moved {
  from = google_storage_bucket.archives
  to   = module.bootstrap.google_storage_bucket.archives
}

moved {
  from = google_storage_bucket_iam_member.pipeline_archives
  to   = module.bootstrap.google_storage_bucket_iam_member.pipeline_archives
}

moved {
  from = google_storage_bucket_iam_member.pipeline_state
  to   = module.bootstrap.google_storage_bucket_iam_member.pipeline_state
}

moved {
  from = module.functions["audit_log"].google_service_account.main
  to   = module.bootstrap.google_service_account.functions["audit_log"]
}

moved {
  from = module.functions["build_notification"].google_service_account.main
  to   = module.bootstrap.google_service_account.functions["build_notification"]
}

moved {
  from = module.functions["image_reference"].google_service_account.main
  to   = module.bootstrap.google_service_account.functions["image_reference"]
}

moved {
  from = module.functions["pull_event"].google_service_account.main
  to   = module.bootstrap.google_service_account.functions["pull_event"]
}

moved {
  from = module.functions["registry_push"].google_service_account.main
  to   = module.bootstrap.google_service_account.functions["registry_push"]
}

moved {
  from = module.functions["scheduled_sweep"].google_service_account.main
  to   = module.bootstrap.google_service_account.functions["scheduled_sweep"]
}

removed {
  from = google_artifact_registry_repository.mirrors

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_cloud_scheduler_job.sweep

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_logging_folder_sink.main

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_logging_metric.counts

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_logging_metric.images

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_logging_metric.pull_seconds

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_logging_organization_sink.main

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_logging_project_bucket_config.facts

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_logging_project_sink.facts

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_logging_project_sink.main

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_monitoring_alert_policy.lines

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_monitoring_alert_policy.metrics

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_monitoring_dashboard.main

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_pubsub_subscription.dead_letters

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_pubsub_topic.main

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_pubsub_topic_iam_member.dead_letters

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_pubsub_topic_iam_member.functions

  lifecycle {
    destroy = false
  }
}

removed {
  from = google_pubsub_topic_iam_member.sinks

  lifecycle {
    destroy = false
  }
}

removed {
  from = module.functions

  lifecycle {
    destroy = false
  }
}
