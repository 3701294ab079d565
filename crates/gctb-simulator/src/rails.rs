//! The rails that are called, side by side, with the faults that they share. It must not know HTTP.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Utc;

use crate::daraja::Daraja;
use crate::mojaloop::Mojaloop;
use crate::rail_book::{RailBook, RailError};
use crate::rail_faults::{FaultPlan, Faults, Rail};
use crate::rail_ids::Ids;
use crate::rail_settings::RailSettings;
use crate::simple_mpesa::SimpleMpesa;

/// All rails that are called.
pub(crate) struct Rails {
    pub(crate) mpesa: Daraja,
    pub(crate) simple_mpesa: SimpleMpesa,
    pub(crate) mojaloop: Mojaloop,
    pub(crate) faults: Faults,
    pub(crate) ids: Arc<Ids>,
}

impl Rails {
    /// Opens the rails' books, by default in a directory beside the bank's book that has its name with the ending `.rails`.
    ///
    /// # Errors
    /// For a directory or book that cannot be made, read or locked, and for a file of faults that is not one.
    pub(crate) fn open(settings: &RailSettings, bank_book: &Path) -> Result<Self, RailError> {
        let folder = settings.rail_books.clone().unwrap_or_else(|| beside(bank_book));
        fs::create_dir_all(&folder).map_err(RailError::io("could not make the directory", &folder))?;
        let plan = match &settings.faults {
            Some(path) => {
                let json = fs::read(path).map_err(RailError::io("could not read the file of faults", path))?;
                FaultPlan::read(&json).map_err(RailError::Faults)?
            }
            None => FaultPlan::default(),
        };
        let ids = Arc::new(Ids::new(Utc::now()));
        Ok(Self {
            mpesa: Daraja::open(&folder, settings.mpesa.clone(), Arc::clone(&ids))?,
            simple_mpesa: SimpleMpesa::open(&folder, settings.simple_mpesa.clone(), Arc::clone(&ids))?,
            mojaloop: Mojaloop::open(&folder, Arc::clone(&ids))?,
            faults: Faults::new(plan),
            ids,
        })
    }

    pub(crate) fn book(&self, rail: Rail) -> &RailBook {
        match rail {
            Rail::Mpesa => self.mpesa.book(),
            Rail::SimpleMpesa => self.simple_mpesa.book(),
            Rail::Mojaloop => self.mojaloop.book(),
        }
    }
}

fn beside(bank_book: &Path) -> PathBuf {
    bank_book.with_extension("rails")
}
