# The configuration file as the functions read it. yamldecode refuses a document of comments only, which is how the
# file is delivered.
locals {
  _text     = file(coalesce(var.config_file, "${path.module}/../prestream.yaml"))
  _is_empty = length(regexall("(?m)^[ \\t]*[^ \\t\\r\\n#]", local._text)) == 0
  settings  = merge({}, yamldecode(local._is_empty ? "{}" : local._text))
}

module "prestream" {
  source = "./modules/prestream"

  alerts                 = var.alerts
  archives_folder        = coalesce(var.archives_folder, "${path.module}/../build/functions")
  build_projects         = var.build_projects
  cluster_projects       = var.cluster_projects
  existing_topics        = var.existing_topics
  facts                  = var.facts
  kms_key                = var.kms_key
  labels                 = var.labels
  location               = var.location
  message_retention_days = var.message_retention_days
  mirrors                = var.mirrors
  project_id             = var.project_id
  registry_projects      = var.registry_projects
  runtime                = var.runtime
  settings               = local.settings
  sink_scope             = var.sink_scope
  sweep                  = var.sweep
  vpc_connector          = var.vpc_connector
}
