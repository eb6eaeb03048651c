"""Write what a run leaves in its folder: results, contact sheets, previews, inspections and replays."""
