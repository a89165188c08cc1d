variable "build_projects" {
  description = "Further projects whose builds of Cloud Build are read, such as that of a central CI; the functions may read their images."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "cluster_projects" {
  description = "Further projects with watched clusters; the projects of clusters that prestream.yaml lists by their full name are added automatically."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "config_file" {
  description = "The configuration, the same file as in the archives; null for prestream.yaml of this checkout."
  type        = string
  default     = null
}

variable "image_projects" {
  description = "Further projects, beside that of the mirrors, with images in Artifact Registry to warm."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "kms_key" {
  description = "Customer-managed key in location for topics, archives, functions and facts, projects/P/locations/L/keyRings/R/cryptoKeys/K; null for Google's own keys."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/${var.location}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "The key must have its full name, and be in the location of the functions."
  }
}

variable "labels" {
  description = "Labels of all resources that can have labels."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "location" {
  description = "Region of the functions; the region of the clusters is nearest, but any region works."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.location))
    error_message = "The location must be a region, such as us-central1."
  }
}

variable "mirrors" {
  description = "Locations in which the mirrors of all upstreams are created in advance, and whether others are created when an image needs them."
  type = object({
    locations = optional(set(string), [])
    on_demand = optional(bool, true)
  })
  default  = {}
  nullable = false
}

variable "node_service_accounts" {
  description = "E-mail addresses of the service accounts of nodes that pull and stream from the mirrors; null for those of the pools of clusters that are listed by their full name, and for the default accounts of the other projects with clusters."
  type        = set(string)
  default     = null

  validation {
    condition     = alltrue([for email in coalesce(var.node_service_accounts, []) : can(regex("^[^:@]+@[^:@]+$", email))])
    error_message = "A service account must be an e-mail address, without a prefix."
  }
}

variable "pipeline" {
  description = "An object to create a service account for cloudbuild.yaml, with the bucket of the state of infra, which is created if it is not named; null to create none."
  type = object({
    state_bucket = optional(string)
  })
  default = null
}

variable "project_id" {
  description = "Project of the functions, topics and facts."
  type        = string
  nullable    = false
}

variable "registry_projects" {
  description = "Further projects whose pushes to Artifact Registry are read; the functions may read their images."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "sink_scope" {
  description = "Number of the folder or organisation whose cluster logs are read; by default, only the watched projects."
  type = object({
    folder       = optional(string)
    organization = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.sink_scope.folder == null || var.sink_scope.organization == null
    error_message = "Set a folder or an organisation, not both."
  }
}

variable "warm_pool" {
  description = "A node pool with one small Spot machine for warmups, in the cluster projects/P/locations/L/clusters/C; null to create none."
  type = object({
    cluster      = string
    disk_size_gb = optional(number, 200)
    machine_type = optional(string, "e2-standard-2")
    max_nodes    = optional(number, 1)
    min_nodes    = optional(number, 0)
    # The account of its nodes; by default that of the cluster's pools with accelerators.
    service_account = optional(string)
  })
  default = null

  validation {
    condition     = var.warm_pool == null || can(regex("^projects/[^/]+/locations/[^/]+/clusters/[^/]+$", var.warm_pool.cluster))
    error_message = "The cluster must have its full name, projects/P/locations/L/clusters/C."
  }
}
