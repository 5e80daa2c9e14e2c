//! Removes images and saved VMs that are of no use any more. The two caches go together: a saved VM
//! is made of images.

use std::time::Duration;

use crate::cache::error::ImageError;
use crate::image::{Removed, Store};
use crate::vm::TemplateCache;
use crate::vm::template_cache::UNUSED_LIMIT;

/// What is of no use any more, of images and of saved VMs. A saved VM is made again in seconds: one
/// that was unused for a day is removed.
///
/// # Errors
/// Those of looking into the cache and of removing.
pub fn clean(
    store: &Store,
    template_cache: &TemplateCache,
    all: bool,
    limit: Option<Duration>,
) -> Result<Vec<Removed>, ImageError> {
    // First the copies' sources: they are made of the images.
    let mut removed = Vec::new();
    let limit_here = if all { Duration::ZERO } else { limit.unwrap_or(UNUSED_LIMIT) };
    for (name, size, age) in template_cache.all()? {
        if age >= limit_here {
            removed.push(Removed { gone: template_cache.remove(&name)?, name, size });
        }
    }
    template_cache.remove_scratch()?;
    removed.extend(store.clean(all, limit)?);
    Ok(removed)
}

/// Removes images and saved VMs, those that were used longest ago first, until the rest is small
/// enough.
///
/// # Errors
/// Those of looking into the cache and of removing.
pub fn shrink(store: &Store, template_cache: &TemplateCache, limit: u64) -> Result<Vec<Removed>, ImageError> {
    let images = store.kept()?.into_iter().map(|one| (one, false));
    let mut all: Vec<_> = images.chain(template_cache.all()?.into_iter().map(|one| (one, true))).collect();
    all.sort_by_key(|((_, _, age), _)| std::cmp::Reverse(*age));
    let mut total: u64 = all.iter().map(|((_, size, _), _)| size).sum();
    let mut removed = Vec::new();
    for ((name, size, _), is_template) in all {
        if total <= limit {
            break;
        }
        let gone = if is_template { template_cache.remove(&name)? } else { store.remove(&name)? };
        total -= if gone { size } else { 0 };
        removed.push(Removed { name, size, gone });
    }
    Ok(removed)
}
