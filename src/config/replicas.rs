//! The flags of the union with other exporters, through Redis.

use std::path::PathBuf;

use super::flag::settings;
use super::parse::absolute_path;

settings! {
    /// How this exporter unites its numbers of people with those of others.
    pub struct ReplicasSettings {
        /// Redis through which several exporters unite their numbers of people, such as redis://redis:6379
        #[arg(value_name = "URL")]
        "replicas.redis-url" redis_url: Option<String>,

        /// File with the password for Redis
        #[arg(value_name = "FILE", value_parser = absolute_path())]
        "replicas.redis-password-file" password_file: Option<PathBuf>,

        /// Name of this exporter among the others
        #[arg(value_name = "NAME")]
        "replicas.name" name: Option<String>,
    }
}
