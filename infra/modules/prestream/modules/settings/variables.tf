variable "cluster_projects" {
  description = "Further projects with watched clusters."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "project_id" {
  description = "Project of the functions."
  type        = string
  nullable    = false
}

variable "settings" {
  description = "The keys of prestream.yaml that differ from their defaults."
  type        = any
  nullable    = false
}
