module "settings" {
  source = "./modules/settings"

  cluster_projects = var.cluster_projects
  project_id       = var.project_id
  settings         = var.settings
}
