provider "google" {
  project        = var.project_id
  region         = var.location
  default_labels = merge({ app = "prestream" }, var.labels)
}
