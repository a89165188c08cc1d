# What Terraform derives from the settings.

variables {
  project_id = "my-project"
  settings   = {}
}

run "defaults" {
  command = plan

  module {
    source = "./modules/prestream/modules/settings"
  }

  assert {
    condition     = output.settings.namespace == "prestream" && !output.settings.dry_run
    error_message = "Empty settings mean all defaults."
  }
  assert {
    condition     = output.mirrors_project == "my-project" && output.cluster_projects == toset(["my-project"]) && output.searched_projects == toset(["my-project"])
    error_message = "By default there is one project."
  }
  assert {
    condition     = { for host, upstream in output.upstreams : host => upstream.repository } == { "docker.io" = "dockerhub-mirror", "ghcr.io" = "ghcr-io-mirror", "nvcr.io" = "nvcr-io-mirror", "public.ecr.aws" = "public-ecr-aws-mirror", "quay.io" = "quay-io-mirror", "registry.k8s.io" = "registry-k8s-io-mirror" }
    error_message = "Mirrors must have the names that the functions know."
  }
}

run "several_projects" {
  command = plan

  module {
    source = "./modules/prestream/modules/settings"
  }

  variables {
    cluster_projects = ["team-c"]
    settings = {
      project  = "images-1"
      projects = ["team-b"]
      clusters = ["gpu", "projects/team-a/locations/us-east1/clusters/training"]
    }
  }

  assert {
    condition     = output.cluster_projects == toset(["my-project", "team-a", "team-b", "team-c"])
    error_message = "Projects of clusters that are listed by their full name, and those that are looked through, must be read."
  }
  assert {
    condition     = output.searched_projects == toset(["my-project", "team-b"])
    error_message = "Clusters are looked for in the projects that the settings name."
  }
  assert {
    condition     = output.mirrors_project == "images-1"
    error_message = "Mirrors are in their own project."
  }
}

run "unknown_keys_are_refused" {
  command = plan

  module {
    source = "./modules/prestream/modules/settings"
  }

  variables {
    settings = { dry_runn = true }
  }

  expect_failures = [output.settings]
}
