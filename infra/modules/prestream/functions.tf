# A function is an entry of this map: its folder under functions/, the topic that triggers it, and the topics that it
# may publish to. The module bootstrap creates its identity, and grants its roles.

locals {
  functions = {
    audit_log = {
      description   = "Finds the images of workloads in GKE's audit log, and publishes references to them."
      topic         = "prestream-audit"
      filter        = null
      publishes_to  = ["prestream-image-references"]
      max_instances = 10
      timeout_s     = 60
    }
    build_notification = {
      description   = "Publishes references to the images that a build of Cloud Build pushed."
      topic         = "cloud-builds"
      filter        = "attributes.status = \"SUCCESS\""
      publishes_to  = ["prestream-image-references"]
      max_instances = 3
      timeout_s     = 60
    }
    image_reference = {
      description   = "Creates the mirror and the warmup Job for a reference."
      topic         = "prestream-image-references"
      filter        = null
      publishes_to  = ["prestream-image-references"]
      max_instances = 5
      timeout_s     = 60
    }
    pull_event = {
      description   = "Writes the reports of nodes and Jobs as facts."
      topic         = "prestream-gke-events"
      filter        = null
      publishes_to  = []
      max_instances = 10
      timeout_s     = 60
    }
    registry_push = {
      description   = "Publishes a reference to an image that was pushed to Artifact Registry."
      topic         = "gcr"
      filter        = null
      publishes_to  = ["prestream-image-references"]
      max_instances = 3
      timeout_s     = 60
    }
    scheduled_sweep = {
      description   = "Keeps images in use warm, and repairs the effects of lost events."
      topic         = "prestream-schedule"
      filter        = null
      publishes_to  = ["prestream-image-references", "prestream-schedule"]
      max_instances = 3
      # It reads a whole cluster, page by page.
      timeout_s = 540
    }
  }

  # The names that the module bootstrap gives them. Nothing is read there: rights on identities are a person's.
  accounts = {
    for name in concat(keys(local.functions), ["builder", "invoker"]) :
    name => "prestream-${replace(name, "_", "-")}@${var.project_id}.iam.gserviceaccount.com"
  }

  # Messages of other projects come to the functions by subscriptions of their own.
  _further_projects = {
    build_notification = var.build_projects
    registry_push      = var.registry_projects
  }

  labels = merge({ app = "prestream" }, var.labels)
}

module "functions" {
  source   = "./modules/event_function"
  for_each = local.functions

  name        = "prestream-${replace(each.key, "_", "-")}"
  description = each.value.description
  project_id  = var.project_id
  location    = var.location
  archive = {
    bucket = var.released_archives == null ? "${var.project_id}-prestream-functions" : var.released_archives.bucket
    path   = var.released_archives == null ? "${var.archives_folder}/${each.key}.zip" : null
    object = var.released_archives == null ? null : "${var.released_archives.prefix}${each.key}.zip"
  }
  build = {
    docker_repository = "projects/${var.project_id}/locations/${var.location}/repositories/prestream-functions"
    service_account   = "projects/${var.project_id}/serviceAccounts/${local.accounts.builder}"
  }
  entry_point = "handle_${each.key}"
  environment = merge(
    { GOOGLE_CLOUD_PROJECT = var.project_id },
    length(var.settings) == 0 ? {} : { PRESTREAM_CONFIG = jsonencode(var.settings) },
  )
  kms_key = var.kms_key
  labels  = local.labels
  limits = {
    max_instances = each.value.max_instances
    timeout_s     = each.value.timeout_s
  }
  runtime         = var.runtime
  service_account = local.accounts[each.key]
  trigger = {
    topics = merge(
      { main = local.topic_ids[each.value.topic] },
      {
        for project in setsubtract(lookup(local._further_projects, each.key, []), [var.project_id]) :
        project => local.topic_ids["${project}/${each.value.topic}"]
      },
    )
    filter            = each.value.filter
    dead_letter_topic = local.topic_ids[local.dead_letters]
    invoker_email     = local.accounts.invoker
    pubsub_agent      = local.pubsub_agent
    retention         = local.message_retention
  }
  vpc_connector = var.vpc_connector
}
