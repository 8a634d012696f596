from pathlib import Path
def write_report(folders):
    return folders[0].report_path
