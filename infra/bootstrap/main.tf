# The configuration file as the functions read it. yamldecode refuses a document of comments only, which is how the
# file is delivered.
locals {
  _text     = file(coalesce(var.config_file, "${path.module}/../../prestream.yaml"))
  _is_empty = length(regexall("(?m)^[ \\t]*[^ \\t\\r\\n#]", local._text)) == 0
  settings  = merge({}, yamldecode(local._is_empty ? "{}" : local._text))
}

module "bootstrap" {
  source = "../modules/prestream/modules/bootstrap"

  build_projects        = var.build_projects
  cluster_projects      = var.cluster_projects
  image_projects        = var.image_projects
  kms_key               = var.kms_key
  labels                = var.labels
  location              = var.location
  mirrors               = var.mirrors
  node_service_accounts = var.node_service_accounts
  pipeline              = var.pipeline
  project_id            = var.project_id
  registry_projects     = var.registry_projects
  settings              = local.settings
  sink_scope            = var.sink_scope
  warm_pool             = var.warm_pool
}
